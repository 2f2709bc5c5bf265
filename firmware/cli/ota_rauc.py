"""`veilcam ota rauc`: the images of a version as a RAUC bundle, for boards that RAUC updates.

Made by RAUC itself, in the format `crypt`: signed, and readable by whoever holds a recipient's key alone.
RAUC's `verity` and `plain` show the payload to everybody, and `plain` had holes (CVE-2026-34155), so there
is no choice. RAUC leaves intermediate bundles in TMPDIR; here that is a folder that goes again, whatever
happens. Source: RAUC documentation, "Bundle Formats" and "Manifest".
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from firmware.errors import ConfigError, DriverUnavailable, UsageError
from firmware.state import written

CLASSES = {"root.img": "rootfs", "boot.img": "boot"}
"""RAUC's class of slots by the name of an image."""
MANIFEST = "[update]\ncompatible={compatible}\nversion={version}\n\n[bundle]\nformat=crypt\n"
IMAGE = "\n[image.{kind}]\nfilename={name}\n"
INSTALL = "install it: apt install rauc squashfs-tools"


def fill(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action."""
    parser = actions.add_parser("rauc", help="make an encrypted RAUC bundle of a version's images")
    parser.description = (
        f"Needs Debian's rauc and squashfs-tools. FOLDER holds {' and '.join(CLASSES)}, or one of them. "
        "To have a camera install it, put it as update.raucb into a folder, and: veilcam ota build."
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("bundle", metavar="OUT.raucb", type=Path)
    parser.add_argument(
        "--compatible", metavar="TEXT", required=True, help="the system that it is for, as in system.conf"
    )
    parser.add_argument("--version", metavar="TEXT", required=True, help="such as 1.4.0")
    parser.add_argument(
        "--cert", metavar="FILE", required=True, help="the signer's certificate, or a PKCS#11 URL"
    )
    parser.add_argument("--key", metavar="FILE", required=True, help="the signer's key, or a PKCS#11 URL")
    parser.add_argument("--keyring", metavar="FILE", required=True, help="the CA that devices trust")
    parser.add_argument("--to", metavar="CERT", action="append", required=True, help="a device's certificate")
    parser.set_defaults(handler=handle)


def handle(args: argparse.Namespace) -> int:
    """Sign, encrypt and write."""
    if not args.folder.is_dir():
        raise UsageError(f"{args.folder}: no such folder; name the one that holds the images")
    for needed in ("rauc", "mksquashfs"):
        if shutil.which(needed) is None:
            raise DriverUnavailable(f"{needed} is not on this machine; {INSTALL}")
    with (
        tempfile.TemporaryDirectory(dir=args.bundle.absolute().parent, prefix=".rauc-") as work,
        written(args.bundle) as part,
    ):
        _make(args, Path(work)).replace(part)
    size = args.bundle.stat().st_size
    print(f"{args.bundle}: version {args.version}, for {len(args.to)} recipients, {size} bytes")
    return 0


def _make(args: argparse.Namespace, work: Path) -> Path:
    """Make the bundle in a folder of its own; returns where it is."""
    content, signed, sealed = work / "content", work / "signed.raucb", work / "sealed.raucb"
    content.mkdir()
    _gather(args, content)
    keyring = ["--keyring", args.keyring]
    _rauc([*keyring, "--cert", args.cert, "--key", args.key, "bundle", str(content), str(signed)], work)
    recipients = [word for certificate in args.to for word in ("--to", certificate)]
    _rauc([*keyring, "encrypt", *recipients, str(signed), str(sealed)], work)
    return sealed


def _gather(args: argparse.Namespace, content: Path) -> None:
    names = sorted(path.name for path in args.folder.iterdir())
    strange = [name for name in names if name not in CLASSES]
    if strange or not names:
        raise ConfigError(
            f"{args.folder}: holds {(*strange, 'nothing')[0]}; give it {' or '.join(CLASSES)} alone"
        )
    for text in (args.compatible, args.version):
        if not text.isprintable() or not text.strip():
            raise UsageError(f"{text!r}: a line of plain text is needed")
    manifest = MANIFEST.format(compatible=args.compatible, version=args.version)
    for name in names:
        manifest += IMAGE.format(kind=CLASSES[name], name=name)
        try:
            # A second name for the same bytes, where the disk allows it: images are large.
            os.link(args.folder / name, content / name)
        except OSError:
            shutil.copyfile(args.folder / name, content / name)
    (content / "manifest.raucm").write_text(manifest, encoding="utf-8")


def _rauc(words: Sequence[str], work: Path) -> None:
    """Run RAUC; what it leaves lying about stays in `work`."""
    done = subprocess.run(
        ["rauc", *words],  # noqa: S607 - the machine's own
        env={**os.environ, "TMPDIR": str(work)},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ConfigError(
            f"rauc refuses: {''.join(said[-1:])[:300]}; check --cert, --key, --keyring and --to"
        )
