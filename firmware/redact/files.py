"""Which files `veilcam redact` works on, and how an output file comes into place: whole or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware.errors import SourceNotFound, UsageError
from firmware.redact.clip_writer import FORMATS
from firmware.redact.picture import SUFFIXES


@dataclass(frozen=True, slots=True)
class Job:
    """One file to redact: where it is, where it goes, and its name in the regions file."""

    source: Path
    target: Path
    name: str

    @property
    def is_clip(self) -> bool:
        """Whether it is a clip rather than a picture, by its suffix."""
        return self.source.suffix.lower() in FORMATS


def jobs_of(source: Path, target: Path) -> tuple[Sequence[Job], int]:
    """Return the files to redact and how many others were skipped.

    Raises:
        SourceNotFound: there is nothing at `source`.
        UsageError: an input would be overwritten, or a single file is neither picture nor clip.
    """
    if not source.exists():
        raise SourceNotFound(f"{source}: no such file or folder")
    found = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
    known = [p for p in found if p.suffix.lower() in (*SUFFIXES, *FORMATS)]
    if source.is_dir():
        _refuse_nested(source, target)
        jobs = [Job(p, target / p.relative_to(source), p.relative_to(source).as_posix()) for p in known]
    else:
        place = target / source.name if target.is_dir() else target
        jobs = [Job(p, place, source.name) for p in known]
    _refuse_others(source, jobs)
    _refuse_overwriting(jobs)
    return jobs, len(found) - len(known)


def _refuse_nested(source: Path, target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target}: is a file, but {source} is a folder; give a folder for the output")
    if target.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{target}: lies in the input {source}; give an output folder outside of it")


def _refuse_others(source: Path, jobs: Sequence[Job]) -> None:
    if source.is_dir():
        return
    kinds = ", ".join((*SUFFIXES, *FORMATS))
    if not jobs:
        raise UsageError(f"{source}: neither a picture nor a clip by its name; these are known: {kinds}")
    wanted = FORMATS if jobs[0].is_clip else SUFFIXES
    if jobs[0].target.suffix.lower() not in wanted:
        raise UsageError(f"{jobs[0].target}: give an output name that ends in one of {', '.join(wanted)}")


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
