"""Whoever watches many cameras gets what is retained of each, with the configuration that is shipped."""

import asyncio
import ssl
from pathlib import Path

import aiomqtt

from tests.remote.mosquitto import Mosquitto

CAMERAS = 3000


def context_of(broker: Mosquitto) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=broker.authority.certificate)
    context.load_cert_chain(broker.operator.certificate, broker.operator.key)
    return context


async def retain(broker: Mosquitto, context: ssl.SSLContext) -> None:
    """Have the broker keep a message of each camera."""
    async with aiomqtt.Client(
        "localhost", broker.port, protocol=aiomqtt.ProtocolVersion.V5, tls_context=context
    ) as client:
        client.pending_calls_threshold = CAMERAS
        for n in range(CAMERAS):
            await client.publish(f"veilcam/{n:017d}/settings/reported", b"{}", qos=1, retain=True)


async def test_a_subscriber_to_all_cameras_gets_every_one(tmp_path: Path) -> None:
    broker = await asyncio.to_thread(Mosquitto, tmp_path)
    await asyncio.to_thread(broker.start)
    try:
        await retain(broker, await asyncio.to_thread(context_of, broker))
        words = ("-t", "veilcam/+/settings/reported", "-q", "1", "-C", str(CAMERAS), "-W", "10", "-F", "%t")
        told = await asyncio.to_thread(broker.tool, "sub", *words)
    finally:
        await asyncio.to_thread(broker.stop)
    assert len(set(told.split())) == CAMERAS
