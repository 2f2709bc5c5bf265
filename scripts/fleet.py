"""Brings cameras to the settings of a folder, group by group: canaries first, and an end at the first errors.

    fleet.toml                [broker] host, port, ca, certificate, key
                              [groups.NAME] devices = ["0123abcd-4567ef01", …], canaries = 1
    settings/NAME.json        what the group's cameras are to be set to (a JSON merge patch, RFC 7396)
    statements/DEVICE.json    the owner's word for one camera where that weakens privacy (veilcam owner sign)

Keep the folder in git. Each camera is asked for what it reports, told what differs, and waited for until it
has applied it, or has taken it back. Where a group's canaries do not take it, nobody else is told.
"""

import argparse
import asyncio
import hashlib
import json
import ssl
import sys
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
from tqdm import tqdm

AS_WANTED, APPLIED, SILENT = "as wanted", "applied", "silent"
GOOD = (AS_WANTED, APPLIED)
SETTLING = "confirming"


@dataclass(frozen=True)
class Group:
    """Cameras that are to be set alike."""

    name: str
    devices: Sequence[str]
    canaries: int
    wanted: Mapping[str, object]


@dataclass
class Fleet:
    """One connection, what every camera has reported last, and who waits for it."""

    client: aiomqtt.Client
    folder: Path
    reported: dict[str, dict[str, object]] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self) -> None:
        """Take note of what cameras report."""
        async for message in self.client.messages:
            device = message.topic.value.split("/")[1]
            with suppress(ValueError, TypeError):
                told = json.loads(message.payload)
                async with self.changed:
                    self.reported[device] = told
                    self.changed.notify_all()

    async def bring(self, device: str, wanted: Mapping[str, object], within_s: float) -> str:
        """Bring one camera to what is wanted; returns how that ended."""
        try:
            async with asyncio.timeout(within_s):
                async with self.changed:
                    await self.changed.wait_for(lambda: device in self.reported)
                told = self.reported[device]
                values = told["settings"]
                if isinstance(values, dict) and all(values.get(key) == one for key, one in wanted.items()):
                    return AS_WANTED
                payload = self._payload(device, told["revision"], wanted)
                await self.client.publish(f"veilcam/{device}/settings/desired", payload, qos=1, retain=True)
                return await self._outcome(device, hashlib.sha256(payload).hexdigest())
        except TimeoutError:
            return SILENT

    def _payload(self, device: str, revision: object, wanted: Mapping[str, object]) -> bytes:
        told: dict[str, object] = {"base": revision, "set": dict(wanted)}
        statement = self.folder / "statements" / f"{device}.json"
        if statement.exists():
            told["statement"] = statement.read_text(encoding="utf-8").strip()
        return json.dumps(told, sort_keys=True).encode()

    async def _outcome(self, device: str, digest: str) -> str:
        def outcome() -> str | None:
            desired = self.reported[device].get("desired")
            if not isinstance(desired, dict) or desired.get("sha256") != digest:
                return None
            if desired["state"] == SETTLING:
                return None
            reasons = "; ".join(f"{one['key']}: {one['reason']}" for one in desired.get("reasons", ()))
            return f"{desired['state']}{f' ({reasons})' if reasons else ''}"

        async with self.changed:
            await self.changed.wait_for(lambda: outcome() is not None)
        return str(outcome())


def read_groups(folder: Path, told: Mapping[str, Mapping[str, object]]) -> list[Group]:
    """Return the groups of a folder; exits with what is wrong."""
    groups = []
    for name, group in told.items():
        path = folder / "settings" / f"{name}.json"
        try:
            wanted = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            sys.exit(f"fleet: {path}: {exc}; write the settings of the group {name} there")
        devices, canaries = group.get("devices"), group.get("canaries", 1)
        if not isinstance(wanted, dict) or not isinstance(devices, list) or not isinstance(canaries, int):
            sys.exit(f"fleet: groups.{name}: needs devices, a list, and canaries, a number")
        groups.append(Group(name, devices, canaries, wanted))
    return groups


async def apply(fleet: Fleet, group: Group, args: argparse.Namespace) -> bool:
    """Bring one group to its settings, canaries first; says whether all are."""
    canaries, rest = group.devices[: group.canaries], group.devices[group.canaries :]
    batches = [rest[at : at + args.at_once] for at in range(0, len(rest), args.at_once)]
    with tqdm(total=len(group.devices), desc=group.name, disable=not sys.stderr.isatty()) as bar:
        for batch in [canaries, *batches]:
            ended = await asyncio.gather(*(fleet.bring(one, group.wanted, args.within) for one in batch))
            bar.update(len(batch))
            for device, how in zip(batch, ended, strict=True):
                tqdm.write(f"{group.name} {device}: {how}", file=sys.stdout)
            if any(how not in GOOD for how in ended):
                tqdm.write(f"{group.name}: stopped; nobody else is told", file=sys.stdout)
                return False
    return True


async def run(args: argparse.Namespace, broker: Mapping[str, object], groups: Sequence[Group]) -> int:
    """Bring every group to its settings, one after the other; returns the exit status."""
    context = ssl.create_default_context(cafile=_path(args.folder, broker, "ca"))
    context.load_cert_chain(_path(args.folder, broker, "certificate"), _path(args.folder, broker, "key"))
    client = aiomqtt.Client(
        str(broker["host"]),
        int(str(broker["port"])),
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=context,
        max_queued_incoming_messages=10_000,
    )
    async with client:
        fleet = Fleet(client, args.folder)
        await client.subscribe("veilcam/+/settings/reported", qos=1)
        listening = asyncio.ensure_future(fleet.listen())
        try:
            for group in groups:
                if not await apply(fleet, group, args):
                    return 1
        finally:
            listening.cancel()
    return 0


def _path(folder: Path, broker: Mapping[str, object], key: str) -> Path:
    return folder / str(broker[key])


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="scripts/fleet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("--group", action="append", help="this group alone; can be given more than once")
    parser.add_argument("--at-once", metavar="N", type=int, default=20, help="default: %(default)s")
    parser.add_argument(
        "--within", metavar="S", type=float, default=120, help="seconds for one camera; default: %(default)s"
    )
    args = parser.parse_args()
    try:
        told = tomllib.loads((args.folder / "fleet.toml").read_text(encoding="utf-8"))
        broker, groups = told["broker"], read_groups(args.folder, told["groups"])
        chosen = [one for one in groups if args.group is None or one.name in args.group]
        return asyncio.run(run(args, broker, chosen))
    except (OSError, tomllib.TOMLDecodeError, KeyError) as exc:
        sys.exit(f"fleet: {args.folder}/fleet.toml: {exc}; see scripts/fleet --help")
    except aiomqtt.MqttError as exc:
        sys.exit(f"fleet: the broker is not reached: {exc}")


if __name__ == "__main__":
    sys.exit(main())
