"""Settings of one camera (`--settings FILE`, TOML): what its owner decides, apart from the board."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from firmware.config.strict import Strict, explain, read_toml
from firmware.core.policy import PEOPLE, POLICIES


def _known(policy: str) -> str:
    if policy not in POLICIES:
        raise ValueError(f"no such policy; choose one of {', '.join(POLICIES)}")
    return policy


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("no IP address; write such as 127.0.0.1") from None


class Settings(Strict):
    """What a camera is told by its owner; every key has a safe default."""

    hide: Annotated[str, AfterValidator(_known)] = Field(
        default=PEOPLE.name, description="people hides faces and bodies; faces hides faces and heads."
    )
    ice_addresses: str = Field(
        default="all",
        description="Host addresses that media may use: all, loopback, or a list split by commas.",
    )
    max_viewers: int = Field(default=16, ge=1, le=256, description="Viewers at the same time.")
    host_names: tuple[str, ...] = Field(
        default=(), max_length=16, description="More names under which this camera is reached."
    )
    origins: tuple[str, ...] = Field(
        default=(), max_length=16, description="Other sites whose pages may show the stream, https://name."
    )
    trusted_proxies: tuple[Annotated[str, AfterValidator(_address)], ...] = Field(
        default=(),
        max_length=16,
        description="Addresses of reverse proxies whose X-Forwarded-For is believed; others' is not.",
    )
    contact: str = Field(
        default="the person or company that put this camera here",
        max_length=200,
        description="Whom passers-by can ask; shown on the public notice.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file of a certificate of your own, for HTTPS."
    )
    tls_key: Path | None = Field(default=None, description="PEM file of its key, without a password.")


def load_settings(path: Path | None) -> Settings:
    """Read and check a settings file; defaults where there is none; raises ConfigError."""
    if path is None:
        return Settings()
    try:
        return Settings.model_validate(read_toml(path))
    except ValidationError as exc:
        raise explain(path, exc) from exc
