"""`veilcam bench fleet`: many devices at one broker, without pixels."""

import argparse
import asyncio
import json
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from firmware.bench.fleet import FleetOptions, FleetReport, NamedBroker, Progress, measure_fleet
from firmware.errors import UsageError


def fill(fleet: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    fleet.add_argument("--devices", metavar="N", type=_count, default=200, help="default: %(default)s")
    fleet.add_argument(
        "--processes", metavar="N", type=_count, default=2, help="that run them (default: %(default)s)"
    )
    fleet.add_argument(
        "--spread", metavar="S", type=float, default=15.0, help="switched on over S seconds (default: 15)"
    )
    fleet.add_argument(
        "--away", metavar="S", type=float, default=10.0, help="the broker is, once killed (default: 10)"
    )
    fleet.add_argument(
        "--within", metavar="S", type=float, default=900.0, help="give up after S seconds (default: 900)"
    )
    fleet.add_argument(
        "--broker", metavar="HOST:PORT", help="load this one; default: a Mosquitto of its own on loopback"
    )
    fleet.add_argument("--authority", metavar="FILE", type=Path, help="certificate that it trusts, PEM")
    fleet.add_argument("--authority-key", metavar="FILE", type=Path, help="its key, PEM, elliptic curve")
    fleet.add_argument("--json", action="store_true", help="print one JSON object")
    fleet.set_defaults(handler=handle)


def handle(args: argparse.Namespace) -> int:
    """Run it and print its report; exit status 1 if a message was lost."""
    options = FleetOptions(
        args.devices,
        min(args.processes, args.devices),
        max(0.0, args.spread),
        args.away,
        within_s=args.within,
        broker=_broker(args.broker, args.authority, args.authority_key),
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tqdm(total=options.devices, leave=False, disable=not sys.stderr.isatty()) as bar:

        def progress(what: str, done: int) -> None:
            bar.set_description(what, refresh=False)
            bar.n = done
            bar.refresh() if done == options.devices else bar.update(0)

        try:
            report = asyncio.run(_measured(options, progress))
        except asyncio.CancelledError:
            return 128 + signal.SIGTERM
    print(json.dumps(asdict(report)) if args.json else _table(report))
    return 1 if report.restart is not None and report.restart.lost else 0


async def _measured(options: FleetOptions, progress: Progress) -> FleetReport:
    """Measure; whoever asks us to end has the broker ended, too, which would outlive us."""
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await measure_fleet(options, progress)


def _broker(peer: str | None, authority: Path | None, key: Path | None) -> NamedBroker | None:
    if peer is None:
        return None
    host, _, port = peer.rpartition(":")
    if not host or not port.isdecimal() or authority is None or key is None:
        raise UsageError("--broker HOST:PORT needs --authority and --authority-key: devices get certificates")
    return NamedBroker(host.strip("[]"), int(port), authority, key)


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 100_000:
        return int(text)
    raise argparse.ArgumentTypeError("give a number from 1 to 100000")


def _table(report: FleetReport) -> str:
    trips = (report.settings_p50_s, report.settings_p95_s, report.settings_p99_s)
    told = ", ".join(f"{name} {trip:.3f} s" for name, trip in zip(("p50", "p95", "p99"), trips, strict=True))
    lines = [
        f"{report.devices} devices in {report.processes} processes, switched on over {report.spread_s:.0f} s",
        f"all up after {report.all_up_s:.1f} s",
        f"settings told and reported by all in {report.settings_all_s:.2f} s; round trip {told}",
        f"{report.connections_per_s} connections in the busiest second; {report.refused} messages refused",
    ]
    if (again := report.restart) is not None:
        lines += [
            f"broker killed, away for {again.away_s:.0f} s, all up again in {again.all_up_s:.1f} s more",
            f"all messages heard after {again.all_heard_s:.1f} s; {again.lost} of {2 * report.devices} lost, "
            f"{again.dropped} dropped by the broker",
        ]
    return "\n".join(lines)
