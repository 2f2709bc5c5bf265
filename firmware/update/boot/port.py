"""What the update agent needs of boot control; each board's way of booting is one implementation.

A release is written beside what runs, armed, tried once, and then kept or given up. Every step can be taken
again after a power cut; at any cut the next start takes the old release or the new one, whole.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ota.release import Release

PAYLOAD = ".payload.tar"
"""The verified tar, in the folder that a release is written to; boot control removes it."""


class BootControl(Protocol):
    """The releases of one device; its methods wait for the disk and raise OSError, UpdateError."""

    @property
    def folder(self) -> Path:
        """Where releases are unpacked: its disk has to have room."""
        ...

    def require_able(self) -> None:
        """Look whether this machine can switch at all; raises UpdateRefused (UNSUPPORTED) where it cannot."""
        ...

    def running(self) -> str | None:
        """Return the release that this start was made with; None where it is none of ours."""
        ...

    def confirmed(self) -> str | None:
        """Return the release that a start takes where nothing is to be tried."""
        ...

    def on_trial(self) -> str | None:
        """Return the release that is being tried."""
        ...

    def failed(self) -> str | None:
        """Return the release that was given up and not taken note of."""
        ...

    def noted(self) -> None:
        """Take note of what was given up."""
        ...

    def has(self, release: str) -> bool:
        """Say whether a release is here, complete."""
        ...

    def tree(self, release: str) -> Path | None:
        """Return the folder that a release lies in, which deltas are read against; None where none does."""
        ...

    def writing(self, release: Release) -> AbstractContextManager[Path]:
        """Give a folder for PAYLOAD and what it holds; at the end of the block the release is here, whole.

        Raises:
            UpdateRefused: it cannot be put where it belongs; what runs is as it was.
        """
        ...

    def arm(self, release: str) -> None:
        """Have a release tried at the next start."""
        ...

    def disarm(self) -> None:
        """Take back what was armed."""
        ...

    def confirm(self, release: str) -> None:
        """Have every later start take the release that is being tried."""
        ...

    def keep(self, releases: set[str]) -> list[str]:
        """Forget every other release, and return which; what runs stays whatever is said."""
        ...

    def boot(self) -> Path | None:
        """Choose what this start runs, and note it; None where this firmware itself is what is to run.

        Called once by whoever starts the camera. What was being tried and did not confirm itself is given up.
        """
        ...

    def restart(self) -> None:
        """Restart the machine into what is armed; raises UpdateError where that is not how it is tried."""
        ...
