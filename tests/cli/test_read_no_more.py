"""Output that somebody stops reading, as `head` does, ends a command without a word."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("words", [("boards", "list"), ("boards", "list", "--json")])
def test_a_reader_that_goes_leaves_no_traceback(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "firmware", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        status = process.wait(30)
    assert said == ""
    assert status == 141


def test_an_output_that_is_full_is_still_an_error() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        command = [sys.executable, "-m", "firmware", "boards", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=30)
    assert done.returncode not in (0, 141)
