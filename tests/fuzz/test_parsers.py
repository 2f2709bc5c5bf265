"""Every parser of bytes from outside ends with an object or its own refusal, quickly, whatever it is given.

Seeds lie in `corpus/`, one folder a parser; what once went wrong is put there. VEILCAM_FUZZ_S says for how
many seconds each is tried (a moment in the test run, ten minutes by hand).
"""

import io
import json
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware.access.owner import KeyMalformed, OwnerKey
from firmware.access.record import read_head
from firmware.access.statement import Expected, StatementRefused, verify
from firmware.audit import read_line
from firmware.core.framing import LENGTH_AT, Framing
from firmware.core.h264_order import ReferenceOrder
from firmware.core.nal import units
from firmware.core.strict_json import NotStrict
from firmware.errors import RecordDamaged
from firmware.remote import commands, desired
from firmware.stream.aiortc_seams import require_parsable
from firmware.stream.answer import write_answer
from firmware.stream.offer import read_fragment, read_offer
from firmware.stream.sdp import OfferMalformed, OfferUnacceptable
from firmware.update.archive import unpack_tar
from firmware.update.delta import apply_delta
from ota import metadata
from ota.bundle import read_bundle
from ota.errors import UpdateRefused
from ota.metadata import Floor, Here
from ota.release import read_release
from ota.strict import load
from tests.fuzz.mutate import mutated

CORPUS = Path(__file__).parent / "corpus"
SECONDS = float(os.environ.get("VEILCAM_FUZZ_S", "1"))
SLOWEST_S = 2.0
OWNER = OwnerKey(bytes(range(32)))
HERE = Here(("laptop",), datetime(2026, 11, 25, tzinfo=UTC))
ANCHOR = (CORPUS / "root" / "root.json").read_bytes()


def tar(content: bytes, folder: Path) -> object:
    path = folder / "fuzzed.tar"
    path.write_bytes(content)
    target = folder / "target"
    target.mkdir(exist_ok=True)
    try:
        return unpack_tar(path, target, 10_000)
    finally:
        outside = {one.name for one in folder.iterdir()} - {"fuzzed.tar", "target"}
        assert outside == set()
        for one in sorted(target.rglob("*"), reverse=True):
            one.rmdir() if one.is_dir() and not one.is_symlink() else one.unlink()


OLD = {"lib/kept": b"kept " * 2_000, "lib/changed": b"changed " * 2_000}
"""The base that seeds of `delta` are made against."""


def delta(content: bytes, folder: Path) -> object:
    base, out = folder / "base", io.BytesIO()
    for name, old in OLD.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        if not (base / name).exists():
            (base / name).write_bytes(old)
    try:
        return apply_delta(io.BytesIO(content), base, out, 100_000)
    finally:
        assert len(out.getvalue()) <= 100_000 + (1 << 20)


ANSWERED = "v=0\r\nm=video 4711 UDP/TLS/RTP/SAVPF 102\r\na=mid:0\r\na=sendonly\r\na=ice-ufrag:abcd\r\n"


def offer(content: bytes) -> object:
    """Read an offer; what comes of it is for aiortc to take, and has an answer of as many media."""
    read = read_offer(content.decode("utf-8", "replace"))
    require_parsable(read.text)
    answer = write_answer(read, ANSWERED)
    assert answer.count("\nm=") == len(read.media)
    assert len(answer) < len(ANSWERED) * (2 + len(read.media)) + 4 * len(content)
    return read


def in_order(content: bytes) -> object:
    """Follow an access unit with what a stream has told before it, and after it."""
    for codec in LENGTH_AT:
        Framing(codec, content).is_damaged(content)
        Framing(codec, b"\1" + bytes(40)).is_damaged(content)
    order = ReferenceOrder()
    order.lost(Framing("h264", content).parameters)
    return [order.lost(units(content)), order.lost(units(content))]


PARSERS: dict[str, tuple[Callable[[bytes, Path], object], tuple[type[Exception], ...]]] = {
    "bundle": (lambda content, folder: read_bundle(io.BytesIO(content)), (UpdateRefused,)),
    "timestamp": (
        lambda content, folder: metadata.verify({"timestamp.json": content}, ANCHOR, Floor(), HERE),
        (UpdateRefused,),
    ),
    "root": (
        lambda content, folder: metadata.verify({"2.root.json": content}, ANCHOR, Floor(), HERE),
        (UpdateRefused,),
    ),
    "release": (lambda content, folder: read_release(load(content, 64 << 10, "it")), (UpdateRefused,)),
    "archive": (tar, (UpdateRefused,)),
    "delta": (delta, (UpdateRefused,)),
    "desired": (lambda content, folder: desired._parsed(content), (desired._RefusedError,)),
    "command": (
        lambda content, folder: commands._parsed("restart", content, 1_800_000_000.0),
        (commands.CommandRefused,),
    ),
    "statement": (
        lambda content, folder: verify(content, OWNER, Expected("settings", "device", 1, 0.0)),
        (StatementRefused,),
    ),
    "owner": (lambda content, folder: OwnerKey.read(content.decode("utf-8", "replace")), (KeyMalformed,)),
    "audit": (lambda content, folder: read_line(content), (NotStrict,)),
    "offer": (lambda content, folder: offer(content), (OfferMalformed, OfferUnacceptable)),
    "fragment": (
        lambda content, folder: read_fragment(content.decode("utf-8", "replace")),
        (OfferMalformed,),
    ),
    "access-unit": (lambda content, folder: in_order(content), ()),
    "head": (lambda content, folder: read_head(content), (RecordDamaged,)),
}


@pytest.mark.timeout(60 + 2 * SECONDS)
@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_ends_well_whatever_it_is_given(name: str, tmp_path: Path) -> None:
    parse, allowed = PARSERS[name]
    seeds = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    chance, tried, taken = random.Random(19), 0, 0  # noqa: S311 - no secret
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        content = mutated(chance.choice(seeds), chance) if tried >= len(seeds) else seeds[tried]
        begun = time.monotonic()
        try:
            parse(content, tmp_path)
            taken += 1
        except allowed:
            pass
        assert time.monotonic() - begun < SLOWEST_S, content[:200]
        tried += 1
    assert tried > len(seeds)
    sys.stdout.write(f"{name}: {tried} contents in {SECONDS:.0f} s, {taken} taken\n")


def test_every_seed_is_of_a_parser() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(PARSERS)
    assert json.loads(ANCHOR)["signed"]["_type"] == "root"
