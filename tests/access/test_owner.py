"""A camera has one owner: whoever has the code that it showed once."""

import json
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.access.keyfile import make_owner_key
from firmware.access.owner import (
    ALPHABET,
    CLAIM,
    FOLDER,
    OWNER,
    AlreadyClaimed,
    ClaimRefused,
    KeyMalformed,
    OwnerKey,
    Ownership,
)
from firmware.errors import IdentityDamaged, OutputError
from firmware.ports import SystemClock

KEY = OwnerKey(bytes(range(32)), "at home")


def nothing() -> None:
    """Nobody records it."""


def opened(state: Path) -> Ownership:
    return Ownership(state, SystemClock())


def test_the_code_is_shown_once_and_its_hash_alone_is_kept(tmp_path: Path) -> None:
    code = opened(tmp_path).first_code()
    assert code is not None
    assert len(code) == 19
    assert set(code) <= set(ALPHABET + "-")
    assert opened(tmp_path).first_code() is None, "and not at the next start"
    path = tmp_path / FOLDER / CLAIM
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert code.replace("-", "") not in path.read_text()


def test_whoever_has_the_code_is_the_owner_for_good(tmp_path: Path) -> None:
    ownership = opened(tmp_path)
    code = ownership.first_code()
    assert code is not None
    with pytest.raises(ClaimRefused):
        ownership.claim("0000-0000-0000-0000", KEY, nothing)
    assert ownership.owner is None
    ownership.claim(code.lower().replace("0", "o").replace("1", "l").replace("-", " "), KEY, nothing)
    assert opened(tmp_path).owner == KEY
    assert opened(tmp_path).first_code() is None
    with pytest.raises(AlreadyClaimed):
        opened(tmp_path).claim(code, OwnerKey(bytes(32)), nothing)
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [OWNER]


def test_without_a_code_nothing_claims(tmp_path: Path) -> None:
    for guess in ("", "0" * 16, "None"):
        with pytest.raises(ClaimRefused):
            opened(tmp_path).claim(guess, KEY, nothing)


def test_of_many_who_claim_at_once_one_is_the_owner(tmp_path: Path) -> None:
    ownership = opened(tmp_path)
    code = ownership.first_code()
    assert code is not None
    won: list[int] = []

    def claim(n: int) -> None:
        try:
            ownership.claim(code, OwnerKey(bytes([n]) * 32), nothing)
        except AlreadyClaimed:
            return
        won.append(n)

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert opened(tmp_path).owner == OwnerKey(bytes(won) * 32)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"key": 5}', '{"key": "veilcam-owner ed25519 AAAA"}'])
def test_a_damaged_owner_is_not_taken_for_none(content: str, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / OWNER).write_text(content)
    with pytest.raises(IdentityDamaged, match=r"owner\.json"):
        opened(tmp_path)


def test_a_power_cut_between_owner_and_code_leaves_the_owner(tmp_path: Path) -> None:
    ownership = opened(tmp_path)
    code = ownership.first_code()
    assert code is not None
    kept = (tmp_path / FOLDER / CLAIM).read_bytes()
    ownership.claim(code, KEY, nothing)
    (tmp_path / FOLDER / CLAIM).write_bytes(kept)
    with pytest.raises(AlreadyClaimed):
        opened(tmp_path).claim(code, OwnerKey(bytes(32)), nothing)


@given(
    st.binary(min_size=32, max_size=32),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=40),
)
def test_a_key_comes_back_from_its_line(public: bytes, comment: str) -> None:
    key = OwnerKey(public, comment)
    assert OwnerKey.read(f"{key.line()}\n") == key


@given(
    st.one_of(st.text(max_size=300), st.text(max_size=60).map(lambda text: f"veilcam-owner ed25519 {text}"))
)
def test_what_is_no_key_is_refused(text: str) -> None:
    try:
        assert len(OwnerKey.read(text).public) == 32
    except KeyMalformed:
        return


def test_key_files_are_the_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "owner.key"
    public = make_owner_key(path, "at home", "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert OwnerKey.read((tmp_path / "owner.key.pub").read_text()) == public
    before = path.read_bytes()
    with pytest.raises(OutputError, match="never overwritten"):
        make_owner_key(path, "", "")
    assert path.read_bytes() == before
    make_owner_key(tmp_path / "other", "", "a passphrase")
    assert b"ENCRYPTED" in (tmp_path / "other").read_bytes()
    assert json.loads(json.dumps(public.line())).startswith("veilcam-owner ed25519 ")


def test_a_new_code_ends_the_one_before_until_somebody_has_claimed_the_camera(tmp_path: Path) -> None:
    first = opened(tmp_path).first_code(anew=True)
    second = opened(tmp_path).first_code(anew=True)
    assert first is not None
    assert second is not None
    with pytest.raises(ClaimRefused):
        opened(tmp_path).claim(first, KEY, nothing)
    opened(tmp_path).claim(second, KEY, nothing)
    assert opened(tmp_path).first_code(anew=True) is None
