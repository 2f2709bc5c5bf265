"""Pulls frames from the camera in a thread and hands each to detection and to the hold."""

import asyncio

from firmware.errors import CameraLost
from firmware.pipeline.mailbox import Mailbox
from firmware.pipeline.worker import Worker
from firmware.ports import Camera

DEADLINE_S = 5.0
"""A camera that gives no frame for this long is lost."""


async def capture(camera: Camera, worker: Worker, detect: Mailbox, release: Mailbox) -> None:
    """Pull frames until the camera ends; both mailboxes get a lease on each frame.

    Raises:
        CameraLost: no frame came within the deadline.
        EndOfSource: a clip has ended.
    """
    while True:
        pulled = worker.start(camera.capture)
        await asyncio.wait((pulled,), timeout=DEADLINE_S)
        if not pulled.done():
            raise CameraLost(
                f"{camera.info.name}: no frame for {DEADLINE_S:.0f} s; "
                "check cable, power and address, then restart"
            )
        frame = pulled.result()
        detect.put(frame.lease())
        release.put(frame)
