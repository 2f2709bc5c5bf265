"""The other side of a load run: it tells every device its settings, and counts what comes back."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from firmware.bench.fleet_devices import COUNTED, LONGEST
from firmware.core.strict_json import NotStrict, read_json
from firmware.errors import NetworkUnavailable
from firmware.remote.broker import BrokerOptions, context_of
from firmware.remote.topics import DESIRED, REPORTED, ROOT, STATUS, below

NAME = "operator"
"""As the shipped access list has it."""
DROPPED = "$SYS/broker/publish/messages/dropped"
"""Mosquitto's own count, every ten seconds."""
AT_ONCE = 10
AGAIN_S = 0.05
SESSION_S = 3600


class Operator:
    """One client that reads of all devices; it comes back by itself, with its session."""

    def __init__(self, options: BrokerOptions, names: Sequence[str]) -> None:
        self.revisions = dict.fromkeys(names, 0)
        """The newest revision that each device has reported."""
        self.reported_s: dict[str, float] = {}
        """When it has, on the monotonic clock."""
        self.counted: dict[str, set[int]] = {name: set() for name in names}
        """Numbers of the messages that each device had to send."""
        self.dropped = 0
        """Messages that the broker has dropped since its start, because a client's queue was full."""
        self._options = options
        self._client: aiomqtt.Client | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        context = await asyncio.to_thread(context_of, self._options)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        while True:
            try:
                async with aiomqtt.Client(
                    self._options.host,
                    self._options.port,
                    identifier=NAME,
                    protocol=aiomqtt.ProtocolVersion.V5,
                    tls_context=context,
                    clean_start=False,
                    properties=properties,
                    max_queued_incoming_messages=8 * len(self.revisions) + 1000,
                    logger=logging.getLogger(__name__),
                ) as client:
                    for topic in (below("+", REPORTED), below("+", COUNTED), DROPPED):
                        await client.subscribe(topic, qos=1)
                    self._client = client
                    self._changed.set()
                    async for message in client.messages:
                        self._take(message.topic.value, message.payload)
            except aiomqtt.MqttError:
                self._client = None
                await asyncio.sleep(AGAIN_S)

    @property
    def is_up(self) -> bool:
        """Whether it is connected."""
        return self._client is not None

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds that a message or a connection changes."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def tell_all(self, base: int) -> dict[str, float]:
        """Tell every device its settings, retained; returns when each was told, monotonic seconds."""
        told: dict[str, float] = {}
        left = iter(list(self.revisions))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._tell(left, base, told))
        return told

    async def _tell(self, left: Iterator[str], base: int, told: dict[str, float]) -> None:
        payload = json.dumps({"base": base, "set": {"hold_frames": 5}}).encode()
        for name in left:
            told[name] = time.monotonic()
            await self._publish(below(name, DESIRED), payload)

    async def forget_all(self) -> None:
        """Have the broker forget what it retains of the devices."""
        for name in self.revisions:
            for topic in (DESIRED, REPORTED, STATUS):
                await self._publish(below(name, topic), b"")

    async def _publish(self, topic: str, payload: bytes) -> None:
        if self._client is None:
            raise NetworkUnavailable("the operator has no connection to the broker; see the broker's log")
        try:
            await self._client.publish(topic, payload, qos=1, retain=True)
        except aiomqtt.MqttError as exc:
            raise NetworkUnavailable(f"the broker hung up on the operator: {exc}; see its log") from exc

    def _take(self, topic: str, payload: object) -> None:
        if topic == DROPPED and isinstance(payload, bytes) and payload.isdigit():
            self.dropped = int(payload)
        root, _, rest = topic.partition("/")
        name, _, what = rest.partition("/")
        if root != ROOT or name not in self.revisions or not isinstance(payload, bytes):
            return
        try:
            told = read_json(payload, LONGEST)
        except NotStrict:
            return
        number, revision = told.get("n"), told.get("revision")
        if what == COUNTED and isinstance(number, int):
            self.counted[name].add(number)
        elif what == REPORTED and isinstance(revision, int) and revision > self.revisions[name]:
            self.revisions[name] = revision
            self.reported_s[name] = time.monotonic()
        self._changed.set()
