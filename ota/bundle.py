"""The file that carries an update: metadata, the list of parts, and the sealed payload.

    veilcam-update-1\\n | length of the header (4 bytes, big-endian) | header, JSON | sealed payload

The header has `files` (TUF metadata by name, base64) and `sbom` (CycloneDX, base64). None of it is believed
until `metadata.verify` has been asked; what reads here returns an `UnverifiedBundle`.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ota.errors import Code, UpdateRefused
from ota.release import Release, digest
from ota.stream import Source
from ota.strict import load

MAGIC = b"veilcam-update-1\n"
LONGEST_HEADER = 16 << 20
MOST_FILES = 80


class BundleFile(Source, Protocol):
    """A bundle that is read forwards; what is not needed of it is passed over."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""
        ...

    def seek(self, at: int, /) -> object:
        """Go on at so many bytes from the beginning."""
        ...


@dataclass(frozen=True, slots=True)
class UnverifiedBundle:
    """What a file says of itself; its payload begins at `payload` bytes."""

    files: Mapping[str, bytes]
    sbom: bytes
    payload: int


def read_bundle(file: BundleFile) -> UnverifiedBundle:
    """Read the header and leave the file at the payload; raises UpdateRefused."""
    magic = file.read(len(MAGIC))
    if magic != MAGIC:
        known = magic.startswith(b"veilcam-update-")
        code = Code.UNSUPPORTED if known else Code.MALFORMED
        raise UpdateRefused(code, "an update of a later format" if known else "not an update")
    length = int.from_bytes(file.read(4))
    if not 0 < length <= LONGEST_HEADER:
        raise UpdateRefused(Code.MALFORMED, "the header's length is not possible")
    content = file.read(length)
    if len(content) != length:
        raise UpdateRefused(Code.MALFORMED, "the file ends in its header")
    told = load(content, LONGEST_HEADER, "the header")
    files = told.get("files")
    if set(told) != {"files", "sbom"} or not isinstance(files, dict) or len(files) > MOST_FILES:
        raise UpdateRefused(Code.MALFORMED, "the header is not one of an update")
    decoded = {name: _bytes(text) for name, text in files.items()}
    return UnverifiedBundle(decoded, _bytes(told["sbom"]), len(MAGIC) + 4 + length)


def require_bill(bundle: UnverifiedBundle, release: Release) -> None:
    """Raise UpdateRefused where the bill of materials is not the one that was signed."""
    if digest(bundle.sbom) != release.sbom_sha256:
        raise UpdateRefused(Code.CORRUPT, "the bill of materials is not the one that was signed")


def header(files: Mapping[str, bytes], sbom: bytes) -> bytes:
    """Return everything that goes before the payload."""
    told = {
        "files": {name: base64.b64encode(content).decode() for name, content in sorted(files.items())},
        "sbom": base64.b64encode(sbom).decode(),
    }
    content = json.dumps(told, separators=(",", ":")).encode()
    return MAGIC + len(content).to_bytes(4) + content


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str):
        raise UpdateRefused(Code.MALFORMED, "a part of the header is no text")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise UpdateRefused(Code.MALFORMED, "a part of the header is no base64") from exc
