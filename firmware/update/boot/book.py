"""Which release lies in which system slot, and how far a trial is: one small file, replaced whole.

Beside it there is what the bootloader knows. The file is written before a slot's first byte (nothing in it
counts any more) and after its last. A missing or damaged file, which no power cut makes, says that nothing
is known: nothing is confirmed by it, and no slot counts as filled.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from firmware.core.strict_json import NotStrict, read_json
from firmware.state import written

NAME = "book.json"
LONGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class Book:
    """One moment; releases by their ids, an empty one is none."""

    slots: Mapping[str, str] = field(default_factory=dict)
    """Which release lies complete in which slot."""
    confirmed: str = ""
    armed: str = ""
    asked: bool = False
    """The bootloader was told to try what is armed: a start without it is a failed trial."""
    trying: str = ""
    confirming: bool = False
    """The release on trial is being made the one that every start takes."""
    failed: str = ""
    boot: str = ""
    """Which start of the machine armed, or tries: the kernel's boot_id."""

    def slot_of(self, release: str) -> str | None:
        """Return where a release lies."""
        return next((slot for slot, held in self.slots.items() if held == release), None)


class Books:
    """The file of one folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    @property
    def now(self) -> Book:
        """What is written."""
        try:
            return _book(read_json(self._path.read_bytes(), LONGEST))
        except (OSError, NotStrict, TypeError, ValueError):
            return Book()

    def write(self, **changes: Any) -> Book:
        """Write what changed; raises OutputError, and then the old one counts."""
        book = replace(self.now, **changes)
        with written(self._path, private=True) as part:
            part.write_text(json.dumps(asdict(book), sort_keys=True), encoding="utf-8")
        return book


def _book(told: Mapping[str, Any]) -> Book:
    book = Book(**told)
    kinds = {name: type(value) for name, value in asdict(Book()).items()}
    if any(not isinstance(getattr(book, name), kind) for name, kind in kinds.items()):
        raise ValueError("not as it was written")
    return book
