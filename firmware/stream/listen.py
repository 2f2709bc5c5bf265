"""Reads where to listen, binds it, and holds that only loopback goes without TLS."""

import errno
import socket
import ssl
from dataclasses import dataclass
from ipaddress import ip_address

from firmware.access.identity import TlsFiles
from firmware.config.settings import Settings
from firmware.errors import ConfigError, PortInUse
from firmware.stream.ice import is_loopback

ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound
"""Every address of the machine."""


@dataclass(frozen=True, slots=True)
class Listen:
    """An address and a port; port 0 picks a free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    def url(self, scheme: str) -> str:
        """Return the address to open."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def read_listen(text: str) -> Listen:
    """Read HOST:PORT, where HOST is an IP address (IPv6 in brackets) or `localhost`.

    Raises:
        ConfigError: it is something else.
    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = "127.0.0.1" if host == "localhost" else host[1:-1] if bracketed else host
    try:
        valid = bracketed is (ip_address(bare).version == 6)
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"--listen {text!r}: write HOST:PORT with an IP address, such as 127.0.0.1:8080")
    if not (port.isascii() and port.isdigit() and int(port[:6]) < 65536):
        raise ConfigError(f"--listen {text!r}: the port must be a number from 0 to 65535")
    return Listen(bare, int(port))


def read_tls(settings: Settings, listen: Listen, own: TlsFiles | None = None) -> ssl.SSLContext | None:
    """Return the TLS context, or None for plain HTTP on loopback.

    The owner's certificate goes before the device's `own`, which is for addresses beyond loopback.

    Raises:
        ConfigError: the address is beyond loopback without a certificate, or the files are not valid.
    """
    certificate, key, password = settings.tls_certificate, settings.tls_key, ""
    if certificate is None or key is None:
        if certificate is not key:
            raise ConfigError("settings: give both tls_certificate and tls_key, or neither")
        if listen.loopback:
            return None
        if own is None:
            raise ConfigError(
                f"--listen {listen.host}: HTTPS is needed beyond loopback; "
                "set tls_certificate and tls_key in --settings FILE"
            )
        certificate, key, password = own.certificate, own.key, own.password
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # The password callback keeps OpenSSL from asking on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: password)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(
            f"TLS certificate {certificate} with key {key}: {exc.strerror or exc}; "
            "give two PEM files that belong together, the key without a password"
        ) from exc
    return context


def bind(listen: Listen) -> socket.socket:
    """Bind and listen; the caller closes the socket.

    Raises:
        PortInUse: the address is taken, not this machine's, or needs more rights.
    """
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        return socket.create_server((listen.host, listen.port), family=family, backlog=128)
    except OSError as exc:
        taken = exc.errno == errno.EADDRINUSE
        why = (
            "another program listens there; choose another port with --listen"
            if taken
            else f"{exc.strerror or exc}; choose another --listen"
        )
        raise PortInUse(f"cannot listen on {listen.host}:{listen.port}: {why}") from exc
