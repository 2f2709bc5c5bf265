"""The journal's native protocol, as its document has it, at a datagram socket that parses it strictly.

What this cannot prove: that a journald takes the entries (none runs here), that its limits on datagrams are
these, and that systemd sets JOURNAL_STREAM as systemd.exec(5) says.
"""

import io
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.cli.journal import LONGEST, Journal, journal_of
from firmware.cli.rationed import IN_ALL, Rationed

FIELD = re.compile(rb"[A-Z][A-Z0-9_]{0,63}")
FORMAT = "%(levelname)s %(name)s: %(message)s"


def parsed(datagram: bytes) -> dict[str, str]:
    """Read one entry: fields are NAME=value, or NAME, a length of 64 bits (little-endian) and the value."""
    fields: dict[str, str] = {}
    while datagram:
        end = datagram.index(b"\n")
        name, equals, value = datagram[:end].partition(b"=")
        rest = datagram[end + 1 :]
        if not equals:
            length = int.from_bytes(rest[:8], "little")
            value, after = rest[8 : 8 + length], rest[8 + length :]
            assert after[:1] == b"\n"
            rest = after[1:]
        assert FIELD.fullmatch(name), name
        assert name.decode() not in fields
        fields[name.decode()] = value.decode("utf-8")
        datagram = rest
    return fields


class Journald:
    """A socket where the journal's would be."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "socket")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(5)

    def entry(self) -> dict[str, str]:
        return parsed(self._socket.recv(1 << 20))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    made = Journald(tmp_path)
    yield made
    made.close()


@pytest.fixture
def log(journald: Journald) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A log that goes to that journal, and what is written to standard error."""
    logger, written = logging.getLogger("firmware.remote.broker.test"), io.StringIO()
    journal = Journal(journald.address)
    handler = Rationed(journal=journal)
    handler.setStream(written)
    handler.setFormatter(logging.Formatter(FORMAT))
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, written
    logger.removeHandler(handler)
    logger.propagate = True
    journal.close()


def test_a_line_has_a_priority_a_kind_and_a_part(
    journald: Journald, log: tuple[logging.Logger, io.StringIO]
) -> None:
    logger, written = log
    logger.warning("the broker %s is not reached: %s", "broker.example", "no route")
    found = journald.entry()
    assert found["MESSAGE"].endswith("the broker broker.example is not reached: no route")
    assert found["PRIORITY"] == "4"
    assert found["SYSLOG_IDENTIFIER"] == "veilcam"
    assert found["VEILCAM_PART"] == "firmware.remote.broker.test"
    assert found["VEILCAM_KIND"] == "the broker %s is not reached: %s"
    assert re.fullmatch(r"[0-9a-f]{32}", found["MESSAGE_ID"])
    assert written.getvalue() == "", "or the journal would have it twice"
    logger.warning("the broker %s is not reached: %s", "other.example", "no route")
    logger.error("something else")
    again, other = journald.entry(), journald.entry()
    assert (again["MESSAGE_ID"], other["PRIORITY"]) == (found["MESSAGE_ID"], "3")
    assert other["MESSAGE_ID"] != found["MESSAGE_ID"]


def test_no_field_but_the_message_holds_a_value(
    journald: Journald, log: tuple[logging.Logger, io.StringIO]
) -> None:
    log[0].warning("%s was refused %s", "ada", "hunter2")
    found = journald.entry()
    del found["MESSAGE"]
    assert not any(word in value for value in found.values() for word in ("ada", "hunter2"))


def test_what_other_packages_say_has_no_kind(journald: Journald) -> None:
    journal = Journal(journald.address)
    record = logging.LogRecord("aiohttp.server", logging.ERROR, "", 0, "from 192.0.2.7", (), None)
    assert journal.told(record, ["from 192.0.2.7"]) == ""
    journal.close()
    found = journald.entry()
    assert found.keys() == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "VEILCAM_PART"}


def test_a_traceback_is_one_entry_and_no_line_of_it_is_a_field(
    journald: Journald, log: tuple[logging.Logger, io.StringIO]
) -> None:
    try:
        raise ValueError("x\nPRIORITY=0\nVEILCAM_PART=forged")  # noqa: TRY301 - it has to have a traceback
    except ValueError:
        log[0].exception("a stage ended")
    found = journald.entry()
    assert found["PRIORITY"] == "3"
    assert found["VEILCAM_PART"] == "firmware.remote.broker.test"
    assert found["MESSAGE"].count("\n") > 2
    assert found["MESSAGE"].endswith("VEILCAM_PART=forged")


def test_a_long_message_is_cut_and_still_a_datagram(
    journald: Journald, log: tuple[logging.Logger, io.StringIO]
) -> None:
    log[0].error("long: %s", "é" * (1 << 20))
    assert LONGEST - 2 < len(journald.entry()["MESSAGE"].encode()) <= LONGEST


def test_it_is_rationed_there_too(journald: Journald, log: tuple[logging.Logger, io.StringIO]) -> None:
    for text in map(str, range(IN_ALL + 50)):
        log[0].warning(text)
        if int(text) < IN_ALL:
            assert journald.entry()["VEILCAM_KIND"] == text
    journald._socket.settimeout(0)
    with pytest.raises(BlockingIOError):
        journald.entry()


def test_where_journald_is_away_or_full_each_line_has_its_priority(tmp_path: Path) -> None:
    record = logging.LogRecord("firmware", logging.CRITICAL, "", 0, "two", (), None)
    away = Journal(str(tmp_path / "nobody"))
    assert away.told(record, ["first", "second"]) == "<2>first\n<2>second\n"
    away.close()
    full = Journald(tmp_path)
    journal = Journal(full.address)
    told = [journal.told(record, ["line"]) for _ in range(5000)]
    assert told[0] == ""
    assert told[-1] == "<2>line\n", "and nobody has waited"
    journal.close()
    full.close()


def test_only_the_stream_that_systemd_named_is_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("wb") as file:
        found = os.fstat(file.fileno())
        named = f"{found.st_dev}:{found.st_ino}"
        journal = journal_of({"JOURNAL_STREAM": named}, file.fileno())
        assert journal is not None
        journal.close()
        for other in ("", "0:0", f"{found.st_dev}", f"{found.st_dev}:{found.st_ino}0", "x:y"):
            assert journal_of({"JOURNAL_STREAM": other}, file.fileno()) is None
        assert journal_of({}, file.fileno()) is None


RUNS = """
import logging, os, sys
from firmware.cli.journal import journal_of
from firmware.cli.rationed import Rationed
found = os.fstat(2)
named = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
logging.basicConfig(handlers=[Rationed(journal=journal_of(named, 2, sys.argv[1]))])
logging.getLogger("firmware.app").warning("a %s", "line")
"""


def test_a_process_whose_standard_error_is_the_journals_uses_it(journald: Journald, tmp_path: Path) -> None:
    def runs(address: str) -> str:
        command = [sys.executable, "-c", RUNS, address]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return done.stderr

    assert runs(journald.address) == ""
    assert journald.entry()["VEILCAM_KIND"] == "a %s"
    assert runs(str(tmp_path / "nobody")) == "<4>WARNING:firmware.app:a line\n"
