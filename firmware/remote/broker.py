"""The connection to an MQTT 5 broker: one, over TLS, held open, and never needed for hiding anybody.

    off ─named─▶ connecting ─▶ up ─lost─▶ waiting ─▶ connecting …

While it is up, what is retained is published first (`keep`), then news that nobody needs later (`tell`),
then what waits in the outbox, in order; what comes in goes to whoever handles its topic, one message after
the other. A lost connection is tried again after a time drawn evenly from a span as long as it has been
away: a fleet whose broker restarts does not come back at once, and is back after about as long again. The
client acknowledges a message when it has it, not when it has been handled: settings are retained by the
broker and come again, commands have an id and may be sent again.
"""

import asyncio
import logging
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from firmware.errors import VeilcamError
from firmware.remote.outbox import Outbox, Outgoing
from firmware.remote.topics import STATUS, below, name_in

logger = logging.getLogger(__name__)

T = TypeVar("T")

KEEPALIVE_S = 60
ANSWER_S = 10.0
LAST_WORD_S = 2.0
SESSION_S = 86_400
"""How long a broker keeps what came for a camera that is away."""
RECEIVE_MOST = 16
LONGEST = 64 * 1024
"""Bytes of a packet that the broker may send us (MQTT 5, section 3.1.2.11.4)."""
QUEUE = 64
SPAN_S, LONGEST_SPAN_S = 15.0, 300.0
ONLINE, OFFLINE = b"online", b"offline"


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Where the broker is, who has to have signed its certificate, and who we are to it."""

    host: str
    port: int
    authority: Path | None
    certificate: Path
    key: Path
    password: str = field(default="", repr=False)
    """Of the key's file, where it is encrypted."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message to this camera, `topic` below its own; nothing in it is believed yet."""

    topic: str
    payload: bytes
    retained: bool
    correlation: bytes | None


class NotReady(Exception):
    """Something is missing for a connection; the text says what."""


class _MovedError(Exception):
    """The settings name another broker, or none."""


Handler: TypeAlias = Callable[[Incoming], Awaitable[None]]


class Broker:
    """Keeps one connection for as long as the settings name a broker."""

    def __init__(self, device: str, outbox: Outbox, options: Callable[[], BrokerOptions]) -> None:
        self.device = device
        self.connections = 0
        self.refused = 0
        """Messages that the broker did not take: its access list does not let us."""
        self._options = options
        self._outbox = outbox
        self._writes = asyncio.Lock()
        self._kept: dict[str, bytes] = {}
        """By name; one that begins with a slash is a whole topic."""
        self._unsent: set[str] = set()
        self._news: dict[str, bytes] = {}
        self._handlers: dict[str, Handler] = {}
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._up = False
        self._why = "no broker is named"

    @property
    def is_up(self) -> bool:
        """Whether the broker has us."""
        return self._up

    @property
    def why(self) -> str:
        """Why it is not up; empty where it is."""
        return "" if self._up else self._why

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._outbox)

    def handle(self, name: str, handler: Handler) -> None:
        """Have messages to a topic below the camera's own handled; `name` may end in `/+`."""
        self._handlers[name] = handler

    def keep(self, name: str, payload: bytes) -> None:
        """Have the newest value of something retained by the broker; what is as before is not sent again."""
        if self._kept.get(name) != payload:
            self._kept[name] = payload
            self._unsent.add(name)
            self._wake.set()

    def keep_at(self, topic: str, payload: bytes) -> None:
        """Have the same of a whole topic that is not below the camera's own; empty takes it back."""
        self.keep(f"/{topic}", payload)

    def tell(self, name: str, payload: bytes) -> None:
        """Have a message sent if the broker has us, and else never; of one topic's the newest is sent."""
        if self._up:
            self._news[name] = payload
            self._wake.set()

    async def send(self, name: str, payload: bytes, correlation: bytes | None = None) -> None:
        """Have a message sent, now or when the broker is back, also after a restart; raises OutputError."""
        message = Outgoing(below(self.device, name), payload, correlation=correlation)
        async with self._writes:
            await asyncio.to_thread(self._outbox.put, message)
        self._wake.set()

    def moved(self) -> None:
        """Take note that the settings may name another broker, or other files."""
        self._moved.set()

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        lost_s = asyncio.get_running_loop().time()
        while True:
            self._moved.clear()
            try:
                options = await asyncio.to_thread(self._options)
            except (NotReady, VeilcamError) as exc:
                self._why = str(exc)
                await self._moved.wait()
                lost_s = asyncio.get_running_loop().time()
                continue
            before = self.connections
            try:
                await self._connected(options)
            except (aiomqtt.MqttError, OSError, ValueError) as exc:
                self._why = _plain(exc)
                logger.warning("the broker %s is not reached: %s", options.host, self._why)
            finally:
                self._up = False
            now_s = asyncio.get_running_loop().time()
            if self.connections > before:
                lost_s = now_s
            span_s = min(max(SPAN_S, now_s - lost_s), LONGEST_SPAN_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(secrets.randbelow(round(span_s * 1000)) / 1000):
                    await self._moved.wait()

    async def _connected(self, options: BrokerOptions) -> None:
        """Connect, and stay until the connection is lost or the settings move; raises MqttError, OSError."""
        context = await asyncio.to_thread(context_of, options)
        client = _Client(
            options.host,
            options.port,
            identifier=self.device,
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_context=context,
            will=aiomqtt.Will(below(self.device, STATUS), OFFLINE, qos=1, retain=True),
            clean_start=False,
            properties=_session(),
            keepalive=KEEPALIVE_S,
            timeout=ANSWER_S,
            # An answer is small and follows a confirmation: held back for one packet it comes 40 ms later.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            max_queued_incoming_messages=QUEUE,
            max_inflight_messages=RECEIVE_MOST,
            logger=logging.getLogger(f"{__name__}.client"),
        )
        client.refused = self._note_refused
        async with client:
            self.connections += 1
            self._up = True
            logger.info("the broker %s has us as %s", options.host, self.device)
            self._unsent.update(self._kept)
            self._news.clear()
            for name in self._handlers:
                await client.subscribe(below(self.device, name), qos=1)
            await client.publish(below(self.device, STATUS), ONLINE, qos=1, retain=True)
            try:
                await self._until_moved(client)
            finally:
                # The will is for ends that nobody meant; at this one the broker would keep us as online.
                with suppress(aiomqtt.MqttError):
                    await client.publish(
                        below(self.device, STATUS), OFFLINE, qos=1, retain=True, timeout=LAST_WORD_S
                    )

    async def _until_moved(self, client: "_Client") -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._take(client))
                tasks.create_task(self._give(client))
                tasks.create_task(self._end_when_moved())
        except* _MovedError:
            logger.info("the settings of the broker have changed")
        except* (aiomqtt.MqttError, OSError) as group:
            raise aiomqtt.MqttError(str(group.exceptions[0])) from None

    async def _end_when_moved(self) -> None:
        await self._moved.wait()
        raise _MovedError

    async def _take(self, client: "_Client") -> None:
        """Hand on what comes in."""
        async for message in client.messages:
            name = name_in(self.device, message.topic.value) or ""
            handler = self._handler(name)
            if handler is None:
                continue
            correlation = getattr(message.properties, "CorrelationData", None)
            try:
                await handler(Incoming(name, message.payload, bool(message.retain), correlation))
            except VeilcamError as exc:
                logger.warning("%s: %s", name, exc)

    def _handler(self, name: str) -> Handler | None:
        return self._handlers.get(name) or self._handlers.get(f"{name.rpartition('/')[0]}/+")

    async def _give(self, client: "_Client") -> None:
        """Publish what is new, first what is retained."""
        while True:
            self._wake.clear()
            while self._unsent:
                name = self._unsent.pop()
                payload = self._kept[name]
                topic = name[1:] if name.startswith("/") else below(self.device, name)
                await client.publish(topic, payload, qos=1, retain=True)
                if not payload and self._kept[name] == payload:
                    # The broker has forgotten it, and so may we.
                    del self._kept[name]
            while self._news:
                name, payload = self._news.popitem()
                await client.publish(below(self.device, name), payload, qos=1)
            while (first := self._outbox.first()) is not None:
                number, message = first
                await client.publish(
                    message.topic,
                    message.payload,
                    qos=1,
                    retain=message.retain,
                    properties=_answering(message.correlation),
                )
                async with self._writes:
                    await asyncio.to_thread(self._outbox.sent, number)
            await self._wake.wait()

    def _note_refused(self, why: str) -> None:
        self.refused += 1
        logger.warning("the broker does not take a message: %s; see its access list", why)


class _Client(aiomqtt.Client):
    """Mends three things of aiomqtt 2.5: what a broker does not take is noticed, where it does not read the
    answer that it awaits; a connection that comes to nothing is closed; and who is cancelled ends, also where
    the answer comes at the same moment (`asyncio.wait_for` of Python 3.11 then goes on as if nothing were).
    """

    refused: Callable[[str], None] = staticmethod(lambda why: None)

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except BaseException:
            self._client._sock_close()  # noqa: SLF001 - nothing public closes it
            raise

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109 - as it is called
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("Operation timed out") from None

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        if getattr(reason_code, "is_failure", False):
            self.refused(str(reason_code))
        super()._on_publish(client, userdata, mid, reason_code, properties)


def _session() -> Properties:
    told = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    told.SessionExpiryInterval = SESSION_S
    told.ReceiveMaximum = RECEIVE_MOST
    told.MaximumPacketSize = LONGEST
    return told


def _answering(correlation: bytes | None) -> Properties | None:
    if correlation is None:
        return None
    told = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    told.CorrelationData = correlation
    return told


def context_of(options: BrokerOptions) -> ssl.SSLContext:
    """Return how a broker is met: whom to believe, and who we are; raises OSError."""
    context = ssl.create_default_context(cafile=options.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The callback keeps OpenSSL from asking on the terminal.
    context.load_cert_chain(options.certificate, options.key, password=lambda: options.password)
    return context


def _plain(exc: Exception) -> str:
    """Return why a connection failed, for people."""
    return str(exc) or type(exc).__name__
