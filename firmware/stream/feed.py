"""What a session sends: the redacted rendition to whoever may watch, or the raw one by a grant."""

from collections.abc import Callable
from typing import Protocol

from firmware.core.frames import Raw, Redacted, V
from firmware.core.grant import Grant
from firmware.fanout import Fanout, Subscription


class Feed(Protocol[V]):
    """One viewer's way to one rendition; `holder` is on whose behalf."""

    @property
    def holder(self) -> str:
        """The id of a log-in or of a grant, by which sessions are ended."""
        ...

    def join(self) -> Subscription[V]:
        """Begin to take packets."""
        ...

    def want_keyframe(self) -> None:
        """Ask for a keyframe."""
        ...

    def lives(self) -> bool:
        """Say whether the viewer may see the next packet; asked for every one."""
        ...


class RedactedFeed:
    """The redacted rendition."""

    def __init__(self, fanout: Fanout[Redacted], holder: str, may_go_on: Callable[[str], bool]) -> None:
        self.holder = holder
        self._fanout = fanout
        self._may_go_on = may_go_on

    def join(self) -> Subscription[Redacted]:
        """Begin to take packets."""
        return self._fanout.subscribe()

    def want_keyframe(self) -> None:
        """Ask for a keyframe."""
        self._fanout.want_keyframe()

    def lives(self) -> bool:
        """Say whether whoever watches still may."""
        return self._may_go_on(self.holder)


class RawFeed:
    """The raw rendition, by a grant and for as long as it lives."""

    def __init__(self, fanout: Fanout[Raw], grant: Grant, lives: Callable[[Grant], bool]) -> None:
        self.holder = grant.id
        self.grant = grant
        self._fanout = fanout
        self._lives = lives

    def join(self) -> Subscription[Raw]:
        """Begin to take packets."""
        return self._fanout.subscribe_by(self.grant)

    def want_keyframe(self) -> None:
        """Ask for a keyframe."""
        self._fanout.want_keyframe()

    def lives(self) -> bool:
        """Say whether the grant holds at this moment."""
        return self._lives(self.grant)
