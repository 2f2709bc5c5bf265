"""Whether a broker is reached, as far as can be told without being the camera to it.

A connection and a handshake with the camera's certificate, and no MQTT: a second client of the same name
would take the connection of the camera that runs. In TLS 1.3 the handshake is over before a broker has looked
at our certificate, so that a refusal comes a moment later (RFC 8446, section 4.4.2.4).
"""

import asyncio
import socket
import ssl

from firmware.remote.broker import BrokerOptions, context_of

REACH_S = 10.0
"""For name, connection and handshake together."""
SETTLED_S = 0.7
"""How long a broker has to refuse the certificate; it says nothing by itself where it takes it."""


class NotReached(Exception):
    """The broker is not reached; the text says why and what to do."""


async def reach(options: BrokerOptions) -> str:
    """Connect, shake hands, hang up; returns the version of TLS. Raises NotReached."""
    where = f"{options.host}:{options.port}"
    try:
        context = await asyncio.to_thread(context_of, options)
    except (OSError, ValueError) as exc:
        raise NotReached(
            f"the files for {where} cannot be read: {_told(exc)}; see mqtt_ca, or: veilcam remote request"
        ) from exc
    try:
        async with asyncio.timeout(REACH_S):
            reader, writer = await asyncio.open_connection(options.host, options.port, ssl=context)
    except (OSError, ValueError) as exc:
        raise NotReached(f"{where}: {_told(exc)}; {_advice(exc)}") from exc
    try:
        await _require_held(reader, where)
        return str(writer.get_extra_info("ssl_object").version())
    finally:
        writer.transport.abort()


async def _require_held(reader: asyncio.StreamReader, where: str) -> None:
    why = "it hung up"
    try:
        async with asyncio.timeout(SETTLED_S):
            if await reader.read(1):
                return
    except TimeoutError:
        return
    except OSError as exc:
        why = _told(exc)
    raise NotReached(
        f"{where}: the broker does not take this camera's certificate: {why}; have a new one signed by the "
        "authority that the broker trusts: veilcam remote request"
    )


def _advice(exc: Exception) -> str:
    """Return what to do about a connection that came to nothing."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return "set mqtt_ca to the authority of the broker's certificate, and mqtt to a name that is in it"
    if isinstance(exc, ssl.SSLError | ConnectionResetError):
        return (
            "is it TLS with client certificates there? Else have this camera's signed by the broker's "
            "authority: veilcam remote request"
        )
    if isinstance(exc, TimeoutError):
        return f"nothing answered within {REACH_S:.0f} seconds: is there a firewall?"
    if isinstance(exc, socket.gaierror):
        return "nobody knows that name: see mqtt, and this machine's name server"
    return "does the broker run, and is mqtt its address and port?"


def _told(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        return str(getattr(exc, "verify_message", "") or exc.reason or exc)
    if isinstance(exc, OSError) and exc.filename is not None:
        return f"{exc.filename}: {exc.strerror}"
    return (exc.strerror if isinstance(exc, OSError) else "") or str(exc) or "no answer"
