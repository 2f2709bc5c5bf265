"""Settings as a fleet wants them, and as they are: `settings/desired` in, `settings/reported` out.

    {"base": 7, "set": {"hide": "people", "contact": null}, "statement": "…"}

`set` is a JSON merge patch (RFC 7396): a null is the key's default. `base` is the revision that it is a
change of, as reported: of any other it is stale, a replay, or somebody else's conflict, and refused. It is
validated whole and applied whole, by the one way that settings are changed, with the owner's signed
statement where privacy gets weaker. What could cut the camera off is on probation (`config.probation`):
confirmed once the camera works, is reached at its own address, and has its broker again; else it is as
before. What is retained comes again with each connection: what was handled already is not handled twice,
also after a restart.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware.access.change import GovernedSettings, NeedsSignature
from firmware.access.statement import StatementRefused
from firmware.config.settings import Settings
from firmware.config.store import RevisionMoved
from firmware.core.strict_json import NotStrict, read_json
from firmware.errors import ConfigError, OutputError
from firmware.remote.broker import Broker, Incoming
from firmware.remote.topics import DESIRED, REPORTED
from firmware.state import written

logger = logging.getLogger(__name__)

LONGEST = 48 * 1024
FILE = "remote/desired.json"
WHO = "broker"
KEYS = {"base", "set"}
WITHIN_S, HELD_S, LOOK_S = 60.0, 3.0, 0.5

APPLIED, REFUSED, CONFIRMING, REVERTED = "applied", "refused", "confirming", "reverted"

Reason = Mapping[str, str]
"""A key of the payload or of the settings, and why it was refused."""


class _RefusedError(Exception):
    """A wish is not granted; says which key is why."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.reasons = ({"key": key, "reason": reason},)


@dataclass(frozen=True, slots=True)
class Handled:
    """The last payload that was handled: its SHA-256, what came of it, and why it was refused."""

    digest: str
    state: str
    reasons: Sequence[Reason] = ()


class Desired:
    """Takes what a fleet wants, and reports how it is."""

    def __init__(
        self,
        state: Path,
        settings: GovernedSettings,
        broker: Broker,
        healthy: Callable[[], Awaitable[bool]],
    ) -> None:
        """Read what was handled last; waits for the disk."""
        self._path = state / FILE
        self._settings = settings
        self._broker = broker
        self._healthy = healthy
        self._last = _read(self._path)
        self._probe = asyncio.Event()
        self._probe.set()
        broker.handle(DESIRED, self.take)
        settings.watch(lambda told: self.report())

    def report(self) -> None:
        """Have the broker retain how the settings are, and what came of the last wish."""
        now, last = self._settings.now, self._last
        desired = None
        if last is not None:
            desired = {"sha256": last.digest, "state": last.state, "reasons": list(last.reasons)}
        told = {
            "revision": now.revision,
            "sha256": now.digest,
            "settings": now.values(),
            "desired": desired,
        }
        self._broker.keep(REPORTED, json.dumps(told).encode())

    async def take(self, message: Incoming) -> None:
        """Handle one wish; raises OutputError where what came of it cannot be kept."""
        digest = hashlib.sha256(message.payload).hexdigest()
        if not message.payload or (self._last is not None and self._last.digest == digest):
            self.report()
            return
        reasons: Sequence[Reason] = ()
        try:
            state = await self._applied(message.payload)
        except _RefusedError as exc:
            state, reasons = REFUSED, exc.reasons
            logger.warning("what the broker wants is refused: %s", exc)
        await self._note(Handled(digest, state, reasons))
        self._probe.set()

    async def run(self) -> None:
        """Report, and watch over what is on probation; ends when cancelled."""
        self.report()
        while True:
            await self._probe.wait()
            self._probe.clear()
            if await asyncio.to_thread(lambda: self._settings.on_probation):
                try:
                    await self._watch_over()
                except (OutputError, OSError) as exc:
                    # It stays on probation: the start after next takes it back.
                    logger.warning("what is on probation is neither confirmed nor taken back: %s", exc)

    async def _watch_over(self) -> None:
        """Confirm what is on probation once all is well for a while, or take it back."""
        loop = asyncio.get_running_loop()
        until, well_since = loop.time() + WITHIN_S, None
        named = self._settings().mqtt is not None
        while loop.time() < until:
            await asyncio.sleep(LOOK_S)
            if not await self._healthy() or (named and not self._broker.is_up):
                well_since = None
            elif well_since is None:
                well_since = loop.time()
            elif loop.time() - well_since >= HELD_S:
                await self._settings.confirm()
                await self._settle(APPLIED)
                return
        why = self._broker.why if named and not self._broker.is_up else "the camera does not work with it"
        await self._settings.revert(why)
        logger.warning("settings are as before: %s", why)
        await self._settle(REVERTED, why)

    async def _settle(self, state: str, why: str = "") -> None:
        if self._last is not None and self._last.state == CONFIRMING:
            reasons = ({"key": "set", "reason": why},) if why else ()
            await self._note(Handled(self._last.digest, state, reasons))

    async def _note(self, handled: Handled) -> None:
        self._last = handled
        await asyncio.to_thread(_write, self._path, handled)
        self.report()

    async def _applied(self, payload: bytes) -> str:
        """Change the settings as a payload says; returns the state, raises _RefusedError."""
        base, patch, statement = _parsed(payload)
        now = self._settings.now.revision
        if base != now:
            raise _RefusedError("base", f"is {base}, and the settings are at {now}: read {REPORTED} again")
        try:
            await self._settings.change(WHO, patch, statement, base, guarded=True)
        except NeedsSignature as exc:
            raise _RefusedError(str(exc).partition(":")[0], str(exc).partition(": ")[2]) from exc
        except StatementRefused as exc:
            raise _RefusedError("statement", str(exc)) from exc
        except RevisionMoved as exc:
            raise _RefusedError("base", "the settings have changed meanwhile") from exc
        except ConfigError as exc:
            raise _RefusedError(*_key_of(str(exc))) from exc
        except OutputError as exc:
            raise _RefusedError("set", str(exc)) from exc
        on_probation = await asyncio.to_thread(lambda: self._settings.on_probation)
        return CONFIRMING if on_probation else APPLIED


def _parsed(payload: bytes) -> tuple[int, dict[str, object], str | None]:
    """Return base, patch and statement of a payload; raises _RefusedError."""
    try:
        told = read_json(payload, LONGEST)
    except NotStrict as exc:
        raise _RefusedError("payload", f"is {exc}") from exc
    if not told.keys() >= KEYS or not told.keys() <= KEYS | {"statement"}:
        raise _RefusedError("payload", "needs base and set, and may have a statement, and nothing else")
    base, patch, statement = told["base"], told["set"], told.get("statement")
    if type(base) is not int:
        raise _RefusedError("base", "is no whole number")
    if not isinstance(patch, dict):
        raise _RefusedError("set", "is no object")
    if statement is not None and not isinstance(statement, str):
        raise _RefusedError("statement", "is no text")
    return base, {key: _meant(key, value) for key, value in patch.items()}, statement


def _meant(key: str, value: object) -> object:
    """Return the value of a key of a merge patch: a null is what the key is without one."""
    field = Settings.model_fields.get(key)
    return field.get_default() if value is None and field is not None else value


def _key_of(text: str) -> tuple[str, str]:
    """Return the key that a ConfigError is about, and its reason."""
    parts = text.split(": ", 2)
    return (parts[1], parts[2]) if len(parts) == 3 else ("set", text)


def _read(path: Path) -> Handled | None:
    try:
        told = read_json(path.read_bytes(), LONGEST)
        reasons = told["reasons"]
        return Handled(str(told["digest"]), str(told["state"]), reasons if isinstance(reasons, list) else ())
    except (OSError, NotStrict, KeyError):
        return None


def _write(path: Path, handled: Handled) -> None:
    told = {"digest": handled.digest, "state": handled.state, "reasons": list(handled.reasons)}
    with written(path, private=True) as part:
        part.write_text(json.dumps(told), encoding="utf-8")
