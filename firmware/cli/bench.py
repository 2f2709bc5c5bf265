"""`veilcam bench`: measures on this machine."""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from firmware.bench.pipeline import PipelineReport, measure_pipeline
from firmware.bench.sizes import SizesReport, measure_sizes
from firmware.bench.update import Cost, UpdateReport, measure_update
from firmware.cli import bench_fleet
from firmware.config.model import ModelCache, default_cache
from firmware.config.profile import camera_from_uri, chosen_profile
from firmware.pipeline.sizes import sizes_for


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = "Measures on this machine."
    benches = parser.add_subparsers(dest="bench", metavar="WHAT", required=True)
    pipeline = benches.add_parser(
        "pipeline",
        help="capture to packet, beside the same inferences and the same encode alone",
        description="Released frames per second, latency from capture to packet, CPU time by stage, and the "
        "floor: the same detector calls and the same encodes alone. Compare ratios within one run.",
    )
    pipeline.add_argument("--board", metavar="NAME|FILE", help="default: this machine's, else laptop")
    pipeline.add_argument("--source", metavar="URI", default="scene:", help="default: %(default)s")
    pipeline.add_argument("--seconds", metavar="N", type=_seconds, default=20.0, help="default: %(default)s")
    pipeline.add_argument("--json", action="store_true", help="print one JSON object")
    pipeline.set_defaults(handler=handle_pipeline)
    sizes = benches.add_parser(
        "sizes",
        help="the smallest face and body that a live look always finds",
        description="Puts the person of the built-in scene into an empty hall at one size after another and "
        "looks as the camera does. Other people, light and poses are harder: read it as the best case.",
    )
    sizes.add_argument("--board", metavar="NAME|FILE", help="default: this machine's, else laptop")
    sizes.add_argument(
        "--picture", metavar="WxH", type=_picture, default=(1280, 720), help="default: 1280x720"
    )
    sizes.add_argument("--json", action="store_true", help="print one JSON object")
    sizes.set_defaults(handler=handle_sizes)
    update = benches.add_parser(
        "update",
        help="verify, decrypt and write an update, beside age and openssl cms",
        description="CPU time and peak memory of each, with the same content, one after the other.",
    )
    update.add_argument("--mib", metavar="N", type=_mib, default=200, help="default: %(default)s")
    update.add_argument("--folder", metavar="DIR", type=Path, help="on the disk to measure (default: /tmp)")
    update.add_argument("--json", action="store_true", help="print one JSON object")
    update.set_defaults(handler=handle_update)
    fleet = benches.add_parser(
        "fleet",
        help="many devices at one MQTT broker, which is killed and comes back",
        description="The camera's own connection, many times over and without pixels, at Debian's Mosquitto "
        "with the shipped configuration, or at a broker that is named. All share this machine.",
    )
    bench_fleet.fill(fleet)


def _seconds(text: str) -> float:
    if text.replace(".", "", 1).isdecimal() and 1 <= float(text) <= 86_400:
        return float(text)
    raise argparse.ArgumentTypeError("give 1 to 86400 seconds")


def _mib(text: str) -> int:
    if text.isdecimal() and 4 <= int(text) <= 4096:
        return int(text) // 4 * 4
    raise argparse.ArgumentTypeError("give 4 to 4096 MiB")


def _picture(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if width.isdecimal() and height.isdecimal() and 64 <= int(width) <= 7680 and 64 <= int(height) <= 4320:
        return int(width) // 2 * 2, int(height) // 2 * 2
    raise argparse.ArgumentTypeError("give width and height in pixels, such as 1920x1080; at most 7680x4320")


def handle_pipeline(args: argparse.Namespace) -> int:
    """Run the benchmark and print its report."""
    profile = chosen_profile(args.board)
    with tqdm(total=args.seconds, unit="s", disable=not sys.stderr.isatty(), leave=False) as bar:
        report = asyncio.run(
            measure_pipeline(
                profile,
                camera_from_uri(args.source),
                ModelCache(default_cache()),
                args.seconds,
                lambda done: bar.update(done - bar.n) and None,
            )
        )
    print(json.dumps(report.as_json()) if args.json else _table(report))
    return 0


def handle_sizes(args: argparse.Namespace) -> int:
    """Measure and print from which size on everybody was found."""
    profile, (width, height) = chosen_profile(args.board), args.picture
    tried = len(sizes_for(width, height))
    with tqdm(total=tried, unit="size", disable=not sys.stderr.isatty(), leave=False) as bar:
        report = asyncio.run(
            measure_sizes(profile, ModelCache(default_cache()), width, height, lambda: bar.update() and None)
        )
    print(json.dumps(report.as_json()) if args.json else _sizes_table(report))
    return 0


def _sizes_table(report: SizesReport) -> str:
    lines = [
        f"{report.width}x{report.height}, chain {report.chain}: {', '.join(report.detectors)}",
        f"every face is hidden from {_pixels(report.smallest_face)} in height, "
        f"every body found from {_pixels(report.smallest_body)}",
        f"{'face px':>8}{'hidden':>9}{'body px':>9}{'found':>8}",
    ]
    both = zip(report.faces_hidden.items(), report.bodies_found.items(), strict=True)
    lines += [f"{face:>8}{hidden:>9.0%}{body:>9}{found:>8.0%}" for (face, hidden), (body, found) in both]
    return "\n".join(lines)


def _pixels(size: int | None) -> str:
    return "no size on" if size is None else f"{size} pixels"


def _table(report: PipelineReport) -> str:
    lines = [
        f"{report.width}x{report.height}, chain {report.chain}: {', '.join(report.detectors)}",
        f"released {report.released_fps:.1f} frames/s, {report.looks_per_s:.1f} looks/s, "
        f"latency p50 {report.latency_p50_ms:.0f} ms, p95 {report.latency_p95_ms:.0f} ms",
        f"{'CPU ms per frame':<20}{'pipeline':>10}{'floor':>10}",
    ]
    for stage, spent in report.cpu_ms_per_frame.items():
        floor = report.floor_ms_per_frame.get(stage)
        lines.append(f"{stage:<20}{spent:>10.2f}{'' if floor is None else f'{floor:>10.2f}'}")
    lines.append(
        f"ratio to the floor {report.ratio_to_floor:.2f} (with drawing the scene "
        f"{report.ratio_to_floor_with_camera:.2f}); "
        f"memory {report.rss_mib[0]:.0f} to {report.rss_mib[-1]:.0f} MiB"
    )
    return "\n".join(lines)


def handle_update(args: argparse.Namespace) -> int:
    """Run the benchmark and print its report."""
    with tqdm(total=4, leave=False, disable=not sys.stderr.isatty()) as bar:

        def done(what: str) -> None:
            bar.set_description(what)
            bar.update()

        report = measure_update(args.mib, args.folder, done)
    if args.json:
        print(json.dumps(asdict(report) | {"ratio_to_age": report.ratio_to_age}))
    else:
        _print_update(report)
    return 0


def _print_update(report: UpdateReport) -> None:
    print(f"{report.mib} MiB{'CPU s':>16}{'peak MiB':>12}{'overhead':>12}")
    rows: list[tuple[str, Cost | None]] = [
        ("veilcam", report.ours),
        ("age -d", report.age),
        ("openssl cms -decrypt", report.openssl_cms),
    ]
    for name, cost in rows:
        told = "not here" if cost is None else f"{cost.cpu_s:>8.2f}{cost.peak_mib:>12.0f}{cost.overhead:>12}"
        print(f"{name:<20}{told}")
    print(f"a change of one module of this firmware: {report.delta_share:.1%} of the whole")
