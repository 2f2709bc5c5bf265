"""Settings of one camera: what its owner decides, apart from the board."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from firmware.config.areas import ManyLines, ManyZones
from firmware.config.hours import require_hours
from firmware.config.strict import Strict, explain, read_toml
from firmware.core.policy import PEOPLE, POLICIES, TIMING

COMMANDS = ("identify", "restart", "snapshot", "support", "lockdown", "update")
"""Everything that a camera can be asked for over MQTT."""


def _known(policy: str) -> str:
    if policy not in POLICIES:
        raise ValueError(f"no such policy; choose one of {', '.join(POLICIES)}")
    return policy


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("no IP address; write such as 127.0.0.1") from None


def _peer(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536) or len(text) > 260:
        raise ValueError("write HOST:PORT, such as log.example:6514")
    return text


class Settings(Strict):
    """What a camera is told by its owner; every key has a safe default."""

    hide: Annotated[str, AfterValidator(_known)] = Field(
        default=PEOPLE.name,
        title="What to hide",
        description="people hides faces and bodies; faces hides faces and heads.",
    )
    hold_frames: int = Field(
        default=TIMING.hold_frames,
        ge=TIMING.hold_frames,
        le=TIMING.hold_limit - 3,
        title="Frames held back",
        description="Frames kept before release, at least: who is first seen later is hidden in them too.",
    )
    viewing: Literal["login", "open"] = Field(
        default="open",
        title="Who may watch",
        description="The redacted stream is open to whoever reaches the camera, or needs a log-in.",
    )
    raw: Literal["never", "second_person", "alone"] = Field(
        default="second_person",
        title="Raw picture",
        description="Nobody may see it; an investigator with another person's approval; or one alone.",
    )
    raw_minutes: int = Field(
        default=15, ge=1, le=480, title="Minutes of a grant", description="The longest that a grant lasts."
    )
    max_viewers: int = Field(
        default=16, ge=1, le=256, title="Viewers", description="Viewers at the same time."
    )
    contact: str = Field(
        default="the person or company that put this camera here",
        min_length=1,
        max_length=200,
        title="Whom to ask",
        description="Whom passers-by can ask; shown on the public notice.",
    )
    host_names: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        title="Host names",
        description="More names under which this camera is reached.",
    )
    origins: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        title="Other sites",
        description="Other sites whose pages may show the stream, https://name.",
    )
    trusted_proxies: tuple[Annotated[str, AfterValidator(_address)], ...] = Field(
        default=(),
        max_length=16,
        title="Trusted proxies",
        description="Addresses of reverse proxies whose X-Forwarded-For is believed; others' is not.",
    )
    ice_addresses: str = Field(
        default="all",
        max_length=400,
        title="Media addresses",
        description="Host addresses that media may use: all, loopback, or a list split by commas.",
    )
    update_hours: Annotated[str, AfterValidator(require_hours)] = Field(
        default="",
        title="Hours for updates",
        description="When the camera may start again for an update, HH:MM-HH:MM in its own time; else any.",
    )
    mqtt: Annotated[str, AfterValidator(_peer)] | None = Field(
        default=None,
        title="MQTT broker",
        description="HOST:PORT of an MQTT 5 broker over TLS that may configure the camera and hears of it.",
    )
    mqtt_ca: Path | None = Field(
        default=None,
        title="Certificate of the broker",
        description="PEM file of who has to have signed its certificate; the machine's own list else.",
    )
    mqtt_commands: tuple[Literal["identify", "restart", "snapshot", "support", "lockdown", "update"], ...] = (
        Field(
            default=("identify", "restart", "support", "lockdown", "update"),
            max_length=6,
            title="Commands over MQTT",
            description="What whoever the broker lets may ask for: identify, restart, snapshot, support, "
            "lockdown, update. A snapshot is a redacted picture.",
        )
    )
    audit_syslog: Annotated[str, AfterValidator(_peer)] | None = Field(
        default=None,
        title="Syslog receiver",
        description="HOST:PORT that gets the head of the record by syslog over TLS (RFC 5424, RFC 5425).",
    )
    audit_syslog_ca: Path | None = Field(
        default=None,
        title="Certificate of the syslog receiver",
        description="PEM file of who has to have signed its certificate; the machine's own list else.",
    )
    home_assistant: bool = Field(
        default=False,
        title="Home Assistant",
        description="Announce the camera to a Home Assistant at the same broker (MQTT discovery).",
    )
    zones: ManyZones = Field(
        default=(),
        title="Zones",
        description="Parts of the picture in which people are counted, as numbers a minute to the broker.",
    )
    lines: ManyLines = Field(
        default=(),
        title="Lines",
        description="Lines over which people are counted by direction, as numbers a minute to the broker.",
    )
    least_count: int = Field(
        default=3,
        ge=1,
        le=100,
        title="Smallest count",
        description="Counts of people from 1 to below this are withheld; 1 withholds none.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        title="Certificate",
        description="PEM file of a certificate of your own, for HTTPS.",
    )
    tls_key: Path | None = Field(
        default=None,
        title="Key of the certificate",
        description="PEM file of its key, without a password.",
    )


RESTART = frozenset({"host_names", "ice_addresses", "tls_certificate", "tls_key"})
"""Keys that a running camera takes up at its next start; every other at once."""


def load_settings(path: Path | None) -> Settings:
    """Read and check a settings file (TOML); defaults where there is none; raises ConfigError."""
    return Settings() if path is None else read_settings(path, read_toml(path))


def read_settings(where: Path | str, told: object) -> Settings:
    """Check settings that came from `where`; raises ConfigError."""
    try:
        return Settings.model_validate(told)
    except ValidationError as exc:
        raise explain(where, exc) from exc
