"""Strict mypy accepts the allowed uses of frames and packets and rejects each forbidden one."""

import subprocess
import sys
from pathlib import Path

import pytest

HEADER = """
from firmware.core.frames import Judgement, Packet, Raw, Redacted, RedactedFrame, Released, Verdict
from firmware.core.geometry import Box
from firmware.core.raw import RawFrame
from firmware.pipeline.encode import RedactedRendition
from firmware.pipeline.flow import Flow
from firmware.pipeline.mask import Masker
from firmware.core.grant import Grant
from firmware.fanout import Fanout
from firmware.stream.feed import Feed, RawFeed, RedactedFeed
from firmware.stream.session import Session
from firmware.stream.viewers import Viewers

def record_in_the_clear(packet: Packet[Redacted]) -> None: ...

def use(
    fanout: Fanout[Redacted], raw_fanout: Fanout[Raw], rendition: RedactedRendition, masker: Masker,
    raw_frame: RawFrame, redacted_frame: RedactedFrame, raw: Packet[Raw], redacted: Packet[Redacted],
    grant: Grant, viewers: Viewers[Redacted], raw_viewers: Viewers[Raw],
) -> None:
"""

ALLOWED = [
    "fanout.publish(redacted)",
    "Released('one', redacted, Judgement(Verdict.BLIND))",
    "fanout.subscribe().offer(redacted)",
    "raw_fanout.publish(raw)",
    "raw_fanout.subscribe_by(grant).offer(raw)",
    "feed: Feed[Raw] = RawFeed(raw_fanout, grant, lambda grant: True)",
    "feed: Feed[Redacted] = RedactedFeed(fanout, 'anybody', bool)",
    "record_in_the_clear(redacted)",
    "rendition.encode(redacted_frame)",
    "rendition.encode(masker.mask(raw_frame, [Box(0, 0, 1, 1)], Verdict.VERIFIED))",
]

FORBIDDEN = {
    "fanout.publish(raw)": "arg-type",
    "Released('one', raw, Judgement(Verdict.BLIND))": "arg-type",
    "fanout.subscribe().offer(raw)": "arg-type",
    "raw_fanout.publish(redacted)": "arg-type",
    "raw_fanout.subscribe()": "misc",
    "fanout.subscribe_by(grant)": "misc",
    "raw_fanout.subscribe_by('grant')": "arg-type",
    "RedactedFeed(raw_fanout, 'anybody', bool)": "arg-type",
    "RawFeed(fanout, grant, lambda grant: True)": "arg-type",
    "feed: Feed[Redacted] = RawFeed(raw_fanout, grant, lambda grant: True)": "assignment",
    "session: Session[Redacted] | None = raw_viewers.find('')": "assignment",
    "other: Fanout[Redacted] = raw_fanout": "assignment",
    "Fanout(str, print)": "type-var",
    "record_in_the_clear(raw)": "arg-type",
    "rendition.encode(raw_frame)": "arg-type",
    "packet: Packet[Redacted] = raw": "assignment",
    "frame: RedactedFrame = raw_frame": "assignment",
    "redacted_frame.i420 = raw_frame.planes.y": "misc",
    "packet = Packet(b'', True, 0, 0, Raw); fanout.publish(packet)": "arg-type",
    "packet = Packet[Redacted](b'', True, 0, 0, Raw)": "arg-type",
    "packet = Packet(b'', True, 0, 0, str)": "type-var",
    "class Sub(Redacted): pass": "misc",
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Check every snippet in one run of mypy; returns the error codes by snippet."""
    folder = tmp_path_factory.mktemp("snippets")
    snippets = [*ALLOWED, *FORBIDDEN]
    for index, snippet in enumerate(snippets):
        (folder / f"snippet_{index}.py").write_text(f"{HEADER}    {snippet}\n", encoding="utf-8")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            "--config-file",
            str(root / "pyproject.toml"),
        ]
        + [str(folder / f"snippet_{index}.py") for index in range(len(snippets))],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    found: dict[str, list[str]] = {snippet: [] for snippet in snippets}
    for line in done.stdout.splitlines():
        if "snippet_" in line and "error:" in line:
            index = int(line.partition("snippet_")[2].partition(".py")[0])
            found[snippets[index]].append(line.rpartition("[")[2].rstrip("]"))
    return found


@pytest.mark.parametrize("snippet", ALLOWED)
def test_allowed_use_is_accepted(complaints: dict[str, list[str]], snippet: str) -> None:
    assert complaints[snippet] == []


@pytest.mark.parametrize(("snippet", "code"), FORBIDDEN.items())
def test_forbidden_use_is_rejected(complaints: dict[str, list[str]], snippet: str, code: str) -> None:
    assert code in complaints[snippet]
