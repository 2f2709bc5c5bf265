"""Pulls frames from the camera in a thread and leaves a lease on each in every outlet that is open."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from firmware.errors import CameraLost
from firmware.pipeline.mailbox import Mailbox
from firmware.pipeline.worker import Worker
from firmware.ports import Camera, CameraInfo


class Capture:
    """The capture stage; outlets are opened and closed while it runs."""

    def __init__(self, camera: Camera) -> None:
        self.cpu_ns = 0
        self.skipped = 0
        """Pictures that the camera sent and that could not be decoded."""
        self._camera = camera
        self._outlets: list[tuple[str, Mailbox]] = []
        self._dropped: Counter[str] = Counter()

    @property
    def info(self) -> CameraInfo:
        """What the camera delivers."""
        return self._camera.info

    @property
    def dropped(self) -> Counter[str]:
        """Frames that were displaced by newer ones, by the name of the outlet."""
        counted = self._dropped.copy()
        for name, outlet in self._outlets:
            counted[name] += outlet.dropped
        return counted

    @contextmanager
    def outlet(self, name: str) -> Iterator[Mailbox]:
        """Take frames for the length of the block; what is left inside at its end is released."""
        mailbox = Mailbox()
        self._outlets.append((name, mailbox))
        try:
            yield mailbox
        finally:
            self._outlets.remove((name, mailbox))
            self._dropped[name] += mailbox.dropped
            mailbox.close()

    async def run(self) -> None:
        """Pull frames until the camera ends.

        Raises:
            CameraLost: no frame came for as long as the camera may be silent.
            EndOfSource: a clip has ended.
        """
        async with Worker("veilcam-capture") as worker:
            while True:
                pulled = worker.start(self._camera.capture)
                await asyncio.wait((pulled,), timeout=self.info.patience_s)
                if not pulled.done():
                    raise CameraLost(
                        f"{self.info.name}: no frame for {self.info.patience_s:.0f} s; check cable, power "
                        "and address, then restart; if frames are that rare, raise timeout_s under [camera]"
                    )
                frame = pulled.result()
                self.cpu_ns = worker.cpu_ns
                self.skipped += frame.skipped
                for _, outlet in self._outlets:
                    outlet.put(frame.lease())
                frame.release()
