"""Base of everything read from a file, and its errors in one line."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

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
