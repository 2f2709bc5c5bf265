"""The packages that this build needs: what each is imported as, and what it is installed as."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

from firmware.errors import DriverUnavailable

PACKAGES: Mapping[str, str] = MappingProxyType(
    {
        "numpy": "numpy",
        "cv2": "opencv-python-headless",
        "PIL": "pillow",
        "av": "av",
        "aiortc": "aiortc",
        "aioice": "aioice",
        "aiohttp": "aiohttp",
        "pydantic": "pydantic",
        "onnxruntime": "onnxruntime",
        "ai_edge_litert": "ai-edge-litert",
        "linuxpy": "linuxpy",
        "tqdm": "tqdm",
        "cryptography": "cryptography",
        "segno": "segno",
        "argon2": "argon2-cffi",
        "pyotp": "pyotp",
        "webauthn": "webauthn",
        "jinja2": "jinja2",
        "backports": "backports.zstd",
        "jeepney": "jeepney",
        "aiomqtt": "aiomqtt",
        "paho": "paho-mqtt",
        "prometheus_client": "prometheus-client",
    }
)
"""Distribution by the name that is imported."""

AUTHORS: Mapping[str, str] = MappingProxyType({"pkcs11": "python-pkcs11"})
"""What only those need who make updates, and not all of them: a camera lacks nothing without it."""


def how_to_install(package: str) -> str:
    """Return what to do about a missing package, named as it is imported."""
    if package in AUTHORS:
        return f"pip install {AUTHORS[package]}"
    return f"run scripts/setup, or: pip install {PACKAGES[package]}"


@contextmanager
def missing_package(what: str) -> Iterator[None]:
    """Turn a needed package that cannot be found into DriverUnavailable; another is a bug and stays one."""
    try:
        yield
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        known = {**PACKAGES, **AUTHORS}
        if package not in known:
            raise
        raise DriverUnavailable(
            f"{what} needs the package {known[package]!r}; {how_to_install(package)}"
        ) from exc


def installed(package: str, *, tried: bool = True) -> str | None:
    """Return a package's version; None where it is missing or broken, not where it lacks another of these.

    With `tried` it is imported; without, its version is all that is asked for.
    """
    try:
        if tried:
            importlib.import_module(package)
    except ModuleNotFoundError as exc:
        lacking = (exc.name or package).partition(".")[0]
        if lacking == package or lacking not in PACKAGES:
            return None
    except ImportError:
        return None
    try:
        return version(PACKAGES[package])
    except PackageNotFoundError:
        return None
