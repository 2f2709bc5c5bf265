"""Which files `veilcam redact` works on, what it leaves out and why, and how an output comes into place."""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from firmware.errors import SourceNotFound, UsageError
from firmware.redact.clip_writer import FORMATS
from firmware.redact.picture import SUFFIXES

CONVERT = {
    **dict.fromkeys(
        (".heic", ".heif", ".hif", ".jxl", ".jp2"),
        "a picture of a kind that is not read; convert it to JPEG or AVIF",
    ),
    **dict.fromkeys(
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".psd"),
        "a raw picture; develop it to JPEG or PNG",
    ),
    **dict.fromkeys(
        (
            ".wmv",
            ".asf",
            ".ogv",
            ".rm",
            ".rmvb",
            ".vob",
            ".dv",
            ".dav",
            ".264",
            ".265",
            ".h264",
            ".h265",
            ".mxf",
        ),
        "a clip of a kind that is not read; convert it to mp4",
    ),
}
"""Why some media are left out, by suffix."""
OTHER = "neither a picture nor a clip"
"""Nothing that could be redacted is missing where this is left out."""
DISGUISED = "a picture or a clip under another kind's name; rename it"
MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|BM.{4}\0{4}|II\*\0|MM\0\*|.{4}ftyp(?!M4A)|RIFF.{4}(AVI |WEBP)|"
    rb"\x1aE\xdf\xa3|FLV\x01|\0\0\x01\xba",
    re.DOTALL,
)
"""How files of media begin."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to redact: where it is, where it goes, and its name in the regions file.

    `film` is the number of the stream, where a clip has several films and this is not its main one.
    """

    source: Path
    target: Path
    name: str
    film: int | None = None

    @property
    def is_clip(self) -> bool:
        """Whether it is a clip rather than a picture, by its suffix."""
        return self.source.suffix.lower() in FORMATS

    def of_film(self, film: int) -> "Job":
        """Return the job of a further film of this clip, which goes into a file of its own beside it."""
        words = f".stream-{film}{self.target.suffix}"
        target = self.target.with_name(self.target.name.removesuffix(self.target.suffix) + words)
        name = f"{self.name.removesuffix(self.source.suffix)}.stream-{film}{self.source.suffix}"
        return Job(self.source, target, name, film)


@dataclass(slots=True)
class Found:
    """The files to redact, in order, and what was left out: a reason for each name."""

    jobs: list[Job] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def jobs_of(source: Path, target: Path) -> Found:
    """Return what there is to redact.

    Raises:
        SourceNotFound: there is nothing at `source`.
        UsageError: an input would be overwritten, or a single file is neither picture nor clip.
    """
    if not source.exists():
        raise SourceNotFound(f"{source}: no such file or folder")
    if source.is_dir():
        _refuse_nested(source, target)
        found = _in_folder(source, target)
    else:
        why = _why_not(source)
        if why:
            kinds = ", ".join((*SUFFIXES, *FORMATS))
            raise UsageError(f"{source}: {why}; these are known: {kinds}")
        found = Found([Job(source, target / source.name if target.is_dir() else target, source.name)])
        _refuse_another_kind(found.jobs[0])
    _refuse_overwriting(found.jobs)
    return found


def _in_folder(source: Path, target: Path) -> Found:
    found = Found()

    def unreadable(error: OSError) -> None:
        folder = Path(error.filename).relative_to(source).as_posix()
        found.left_out[f"{folder}/"] = (
            f"a folder that may not be read: {error.strerror}; check its permissions"
        )

    for folder, folders, files in os.walk(source, onerror=unreadable):
        folders.sort()
        for name in folders:
            path = Path(folder, name)
            if path.is_symlink():
                found.left_out[f"{path.relative_to(source).as_posix()}/"] = (
                    "a link to a folder, which is not followed; give that folder itself"
                )
        for name in files:
            path = Path(folder, name)
            told, why = path.relative_to(source).as_posix(), _why_not(path)
            if why:
                found.left_out[told] = why
            else:
                found.jobs.append(Job(path, target / path.relative_to(source), told))
    found.jobs.sort(key=lambda job: job.source)
    return found


def _why_not(path: Path) -> str:
    """Return why a file is not redacted; empty where it is."""
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        return (
            f"a link to nothing ({exc.strerror})" if path.is_symlink() else f"cannot be read: {exc.strerror}"
        )
    if not stat.S_ISREG(mode):
        return "no file, but a pipe, a socket or a device"
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or suffix in FORMATS:
        return ""
    return CONVERT.get(suffix) or _by_content(path)


def _by_content(path: Path) -> str:
    """Return why a file is left out whose name says nothing of media."""
    try:
        with path.open("rb") as file:
            return DISGUISED if MAGIC.match(file.read(16)) else OTHER
    except OSError as exc:
        return f"cannot be read: {exc.strerror}"


def _refuse_nested(source: Path, target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target}: is a file, but {source} is a folder; give a folder for the output")
    if target.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{target}: lies in the input {source}; give an output folder outside of it")


def _refuse_another_kind(job: Job) -> None:
    wanted = FORMATS if job.is_clip else SUFFIXES
    if job.target.suffix.lower() not in wanted:
        raise UsageError(f"{job.target}: give an output name that ends in one of {', '.join(wanted)}")


def _refuse_overwriting(jobs: Sequence[Job]) -> None:
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.target.resolve() in sources:
            raise UsageError(f"{job.target}: is an input; an input is never overwritten, give another output")


def identity(source: Path) -> tuple[int, ...]:
    """Return what is different once a file has been written to or replaced.

    Raises:
        SourceNotFound: it is gone.
    """
    try:
        told = source.stat()
    except OSError as exc:
        raise SourceNotFound(f"{source}: is gone: {exc.strerror}") from exc
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns
