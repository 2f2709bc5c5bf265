"""What a camera offers about its broker: how it stands, and a certificate to be known by."""

from collections.abc import Callable
from pathlib import Path

from firmware.access.identity import Identity
from firmware.config.settings import Settings
from firmware.ports import Clock
from firmware.remote.broker import BrokerOptions, NotReady
from firmware.remote.enrolment import Enrolled, Enrolment
from firmware.remote.topics import device_of


class RemoteService:
    """The broker of one camera; its methods wait for the disk and raise ConfigError, OutputError."""

    def __init__(
        self, state: Path, identity: Identity, settings: Callable[[], Settings], clock: Clock
    ) -> None:
        self.device = device_of(identity.fingerprint)
        self._password = identity.tls.password
        self._settings = settings
        self._enrolment = Enrolment(state, self.device, clock, self._password)
        self.connection: Callable[[], dict[str, object]] = lambda: {"up": False, "why": "the camera is off"}
        """How the connection is; whoever keeps one says it."""
        self.changed: Callable[[], None] = lambda: None
        """Tells whoever keeps one that it has to be made anew."""

    def status(self) -> dict[str, object]:
        """Say how it stands."""
        enrolled = self._enrolment.now()
        return {
            "device": self.device,
            "broker": self._settings().mqtt,
            "certificate": None if enrolled is None else _told(enrolled),
            **self.connection(),
        }

    def certificate_ends_s(self) -> int | None:
        """Return when the certificate ends, seconds since 1970; None where there is none."""
        enrolled = self._enrolment.now()
        return None if enrolled is None else enrolled.ends_s

    @property
    def named(self) -> bool:
        """Whether the settings name a broker."""
        return self._settings().mqtt is not None

    def request(self) -> str:
        """Make a key, and return a signing request for it, PEM."""
        return self._enrolment.request()

    def install(self, certificate: str) -> dict[str, object]:
        """Take the certificate that an authority made."""
        return _told(self._enrolment.install(certificate.encode()))

    def moved(self) -> None:
        """Have whoever keeps the connection make it anew."""
        self.changed()

    def settle(self) -> None:
        """Finish what a power cut came into."""
        self._enrolment.settle()

    def options(self) -> BrokerOptions:
        """Return where the broker is and who we are to it; raises NotReady, which says what is missing."""
        settings = self._settings()
        if settings.mqtt is None:
            raise NotReady("no broker is named")
        enrolled = self._enrolment.now()
        if enrolled is None:
            raise NotReady("there is no certificate for it: veilcam remote request")
        host, _, port = settings.mqtt.rpartition(":")
        authority = settings.mqtt_ca
        return BrokerOptions(
            host.strip("[]"), int(port), authority, enrolled.certificate, enrolled.key, self._password
        )


def _told(enrolled: Enrolled) -> dict[str, object]:
    return {"ends_s": enrolled.ends_s, "issuer": enrolled.issuer}
