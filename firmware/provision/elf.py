"""Reads float32 arrays out of a shared library by their symbols' names; nothing of it is loaded or run."""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from firmware.provision.tfjs import Array

# A few times what a small library has, so that a damaged count cannot keep us busy.
MAX_SECTIONS = 128
MAX_SYMBOLS = 8192
SHF_COMPRESSED = 1 << 11

_BROKEN = (LookupError, ArithmeticError, AttributeError, TypeError, AssertionError, EOFError)
"""What pyelftools raises beside its own errors on files that are not what they claim to be."""


def read_floats(library: bytes, suffixes: tuple[str, ...]) -> Mapping[str, Array]:
    """Return every array whose symbol's name ends in one of `suffixes`, by that name.

    Raises:
        ValueError: the file is no 64-bit little-endian ELF, or a symbol's bytes are not all in it.
        ModuleNotFoundError: the package pyelftools is missing.
    """
    from elftools.common.exceptions import ELFError  # noqa: PLC0415  only set-up has pyelftools

    try:
        return dict(_floats(library, suffixes))
    except (ELFError, *_BROKEN) as exc:
        raise ValueError(f"the file cannot be read as a shared library: {exc!r}") from exc


def _floats(library: bytes, suffixes: tuple[str, ...]) -> Iterator[tuple[str, Array]]:
    sections = _sections(library)
    tables = [section for section in sections if section["sh_type"] == "SHT_DYNSYM"]
    if len(tables) != 1 or not 0 < tables[0].num_symbols() <= MAX_SYMBOLS:
        raise ValueError(f"the library has no one table of at most {MAX_SYMBOLS} symbols")
    for symbol in tables[0].iter_symbols():
        if symbol.name.endswith(suffixes):
            yield symbol.name, _array(library, sections, symbol)


def _sections(library: bytes) -> list[Any]:
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415  only set-up has pyelftools

    elf = ELFFile(io.BytesIO(library))
    if elf.elfclass != 64 or not elf.little_endian:
        raise ValueError("the library is not 64-bit little-endian")
    if elf.num_sections() > MAX_SECTIONS:
        raise ValueError(f"the library has more than {MAX_SECTIONS} sections")
    return list(elf.iter_sections())


def _array(library: bytes, sections: list[Any], symbol: Any) -> Array:
    """Return a view of the symbol's bytes, which must lie whole in one plain section of the file."""
    index, size = symbol["st_shndx"], symbol["st_size"]
    if not isinstance(index, int) or index >= len(sections):
        raise ValueError(f"symbol {symbol.name} lies in no section of the library")
    section = sections[index]
    if section["sh_type"] != "SHT_PROGBITS" or section["sh_flags"] & SHF_COMPRESSED:
        raise ValueError(f"symbol {symbol.name} lies in a section whose bytes the file does not hold plainly")
    start = symbol["st_value"] - section["sh_addr"]
    offset = section["sh_offset"] + start
    if not 0 <= start <= section["sh_size"] - size or offset + size > len(library):
        raise ValueError(f"symbol {symbol.name} reaches beyond its section or the file")
    if size == 0 or size % 4:
        raise ValueError(f"symbol {symbol.name} has {size} bytes, which is no array of float32")
    return np.frombuffer(library, "<f4", size // 4, offset)
