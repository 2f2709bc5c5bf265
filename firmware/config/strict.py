"""Base of everything read from a file or from outside, and its errors in one line."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

from firmware.errors import ConfigError


class Strict(BaseModel):
    """Unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_toml(path: Path) -> Mapping[str, object]:
    """Read a TOML file; raises ConfigError with file and line where it is not valid."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(f"{path}: no such file; correct the path") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}; check its permissions") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not valid TOML: {exc}") from exc


def explain(path: Path | str, exc: ValidationError) -> ConfigError:
    """Turn a validation error into one line that names file, key and reason."""
    first = exc.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "(whole file)"
    more = f" (and {exc.error_count() - 1} more)" if exc.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return ConfigError(f"{path}: unknown key {key!r}; remove or correct it{more}")
    return ConfigError(f"{path}: {key}: {first['msg']}{more}")


class NotStrict(ValueError):
    """Some bytes are no JSON object that has one meaning."""


def read_json(content: bytes | str, longest: int) -> dict[str, object]:
    """Read one JSON object (RFC 8259, I-JSON of RFC 7493): every key once, finite numbers, bounded.

    Raises:
        NotStrict: it is something else, or longer than `longest`.
    """
    if len(content) > longest:
        raise NotStrict(f"longer than {longest} bytes")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        told = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except NotStrict:
        raise
    except (ValueError, RecursionError) as exc:
        raise NotStrict("not JSON") from exc
    if not isinstance(told, dict):
        raise NotStrict("not a JSON object")
    return told


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    told = dict(pairs)
    if len(told) != len(pairs):
        raise NotStrict("a key is there twice")
    return told


def _no_constant(name: str) -> NoReturn:
    raise NotStrict(f"{name} is no number")
