"""Writes what an image is made of: a CycloneDX 1.6 bill of its Debian and Python packages."""

import hashlib
import json
import re
import subprocess
import sys
from email.parser import Parser
from pathlib import Path

FIELDS = "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}"


def licences(copyright_file: Path) -> list[dict[str, object]]:
    """Return a Debian copyright file's short names of licences; none where it is made for readers alone."""
    try:
        text = copyright_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    if not re.match(r"Format: *https?://\S*copyright-format", text):
        return []
    names = re.findall(r"^License: *(\S.*?) *$", text, re.MULTILINE)
    return [{"license": {"name": name}} for name in sorted(set(names))]


def debian(folder: Path, documents: Path) -> list[dict[str, object]]:
    """Return a component for each package file, with its SHA-256, licences and the source it is built of."""
    found = []
    for path in sorted(folder.glob("*.deb")):
        told = subprocess.run(
            ["dpkg-deb", "--show", f"--showformat={FIELDS}", path], check=True, capture_output=True, text=True
        )
        name, version, arch, source, source_version = told.stdout.split("\t")
        purl = f"pkg:deb/debian/{name}@{version}?arch={arch}"
        found.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
                "licenses": licences(documents / name / "copyright"),
                "properties": [{"name": "debian:source", "value": f"{source} {source_version}"}],
            }
        )
    return found


def python(site: Path) -> list[dict[str, object]]:
    """Return a component for each distribution, with its licence where it states an expression."""
    found = []
    for path in sorted(site.glob("*.dist-info/METADATA")):
        told = Parser().parsestr(path.read_text(encoding="utf-8"), headersonly=True)
        name, version = told["Name"].lower().replace("_", "-"), told["Version"]
        purl = f"pkg:pypi/{name}@{version}"
        licences = [{"expression": told["License-Expression"]}] if told["License-Expression"] else []
        found.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
                "licenses": licences,
            }
        )
    return found


def main() -> int:
    """Print the bill: no times, no serial number, so that the same packages give the same bytes."""
    debs, site, documents = (Path(word) for word in sys.argv[1:])
    told = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "operating-system", "name": "veilcam-image"}},
        "components": [*debian(debs, documents), *python(site)],
    }
    print(json.dumps(told, indent=1, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
