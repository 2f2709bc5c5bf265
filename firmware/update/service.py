"""What a camera offers about updates: to say how they stand, and to take one by its owner's command."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from firmware.access.allowance import require_allowed
from firmware.access.identity import Identity
from firmware.access.owner import Ownership
from firmware.access.statement import StatementRefused
from firmware.errors import OutputError, UpdateError
from firmware.ports import Clock
from firmware.status import UpdateVitals
from firmware.update.agent import Progress
from firmware.update.boot.choose import DIRECTORY, open_slots
from firmware.update.device import Board, has_anchor, update_agent
from firmware.update.fetch import RemoteBundle
from firmware.update.record import Phase, Record, read_record
from ota.bundle import BundleFile
from ota.errors import UpdateRefused
from ota.release import Privacy, Release


@dataclass(slots=True)
class UpdateService:
    """Updates of one state folder; its methods wait for the disk and the network, and raise UpdateError."""

    state: Path
    identity: Identity
    ownership: Ownership
    board: Board
    clock: Clock
    armed: bool = field(default=False, init=False)
    """This process has installed an update, which the next start tries."""
    _writing: Progress | None = field(default=None, init=False, repr=False)

    def status(self) -> dict[str, object]:
        """Say what runs, what is under way, and how the last update went; beside an install, too."""
        try:
            told = self._told(read_record(self.state, self.identity.keys, self.identity.counter))
        except OSError as exc:
            raise OutputError(f"{exc.filename}: {exc.strerror}; mend its permissions") from exc
        if (one := self._writing) is not None:
            told["writing"] = {"done": one.done, "total": one.total}
        return told

    def vitals(self) -> UpdateVitals:
        """Say how far updates are, as the record has it; asks no hardware, so that it can be asked often."""
        now = read_record(self.state, self.identity.keys, None)
        return UpdateVitals({phase.value: now.phase is phase for phase in Phase}, now.floor.counter)

    def install(self, bundle: str, statement: str | None) -> dict[str, object]:
        """Take a bundle, a file or an https address; a statement is the owner's word for a weaker one."""

        def allowed(release: Release) -> bool:
            return self._is_allowed(release, statement)

        with ExitStack() as opened:
            agent = opened.enter_context(update_agent(self.state, self.identity, self.board, self.clock))
            file: BundleFile
            try:
                if "://" in bundle:
                    file = opened.enter_context(RemoteBundle(bundle))
                else:
                    file = opened.enter_context(Path(bundle).open("rb"))
                self._writing = Progress()
                agent.install(file, allowed, self._writing)
                self.armed = True
            except UpdateRefused as exc:
                raise UpdateError(f"{exc.code}: {exc}") from exc
            finally:
                self._writing = None
            return self._told(agent.now)

    def begun(self) -> dict[str, object]:
        """Take note of what this start runs."""
        with update_agent(self.state, self.identity, self.board, self.clock) as agent:
            return self._told(agent.begun())

    def show(self, privacy: Privacy) -> dict[str, object]:
        """Take note of what the version that runs hides, as measured."""
        with update_agent(self.state, self.identity, self.board, self.clock) as agent:
            return self._told(agent.show(privacy))

    def trusts(self) -> bool:
        """Say whether there is a root that updates could be verified from."""
        return has_anchor(self.state)

    def take_up(self) -> None:
        """Have the machine start again where that is what leads to what is armed; raises UpdateError."""
        if self.board.boot != DIRECTORY:
            open_slots(self.board.boot, self.state).restart()

    def confirm(self) -> dict[str, object]:
        """Keep what is on trial."""
        with update_agent(self.state, self.identity, self.board, self.clock) as agent:
            try:
                return self._told(agent.confirm())
            except UpdateRefused as exc:
                raise UpdateError(f"{exc.code}: {exc}") from exc

    def rollback(self, why: str) -> dict[str, object]:
        """Give up what is armed or on trial."""
        self.armed = False
        with update_agent(self.state, self.identity, self.board, self.clock) as agent:
            return self._told(agent.rollback(why))

    def _is_allowed(self, release: Release, statement: str | None) -> bool:
        if statement is None:
            return False
        now_s, told = self.clock.wall_ns() / 1e9, (release.id, release.counter)
        try:
            require_allowed(statement, self.ownership.owner, self.identity.fingerprint, told, now_s)
        except StatementRefused as exc:
            raise UpdateError(f"WEAKENS_PRIVACY: the statement is refused: {exc}") from exc
        return True

    def _told(self, record: Record) -> dict[str, object]:
        return {
            "phase": record.phase.value,
            "version": record.version,
            "counter": record.floor.counter,
            "last": record.last,
            "outcome": record.outcome.value,
            "recall": None if record.privacy is None else record.privacy.recall / 10_000,
            "running": open_slots(self.board.boot, self.state).running(),
            "writing": None,
        }
