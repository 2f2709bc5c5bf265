"""What a version is made of: a CycloneDX 1.6 bill of materials of the packages that are installed here."""

import json
from importlib.metadata import Distribution, distributions


def bill_of_materials(version: str) -> bytes:
    """Return the bill, the same for the same packages: no times, no serial number."""
    found = {(dist.name.lower().replace("_", "-"), dist.version): dist for dist in distributions()}
    components = [
        {
            "type": "library",
            "name": name,
            "version": number,
            "purl": f"pkg:pypi/{name}@{number}",
            "bom-ref": f"pkg:pypi/{name}@{number}",
            "licenses": _licences(dist),
        }
        for (name, number), dist in sorted(found.items())
        if name != "veilcam"
    ]
    told = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "firmware", "name": "veilcam", "version": version}},
        "components": components,
    }
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()


def _licences(dist: Distribution) -> list[dict[str, str]]:
    return [{"expression": one} for one in dist.metadata.get_all("License-Expression", [])]
