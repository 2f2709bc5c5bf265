"""People of the built-in scene, followed by the real tracker, are counted as its truth has it."""

import asyncio
import math
from collections.abc import Sequence

from firmware.core.counting import SURE
from firmware.core.cuts import Sight
from firmware.core.frames import Detection, Kind
from firmware.core.moment import Moment
from firmware.core.places import Line, Zone
from firmware.core.policy import PEOPLE, SECOND_NS
from firmware.core.raw import DetectorPicture
from firmware.core.scene import WALKERS, truth
from firmware.pipeline.count import Count
from firmware.pipeline.witness import Witness
from firmware.ports import CameraInfo, SystemClock
from tests.pipeline.doubles import NumberedCamera, ToldDetector
from tests.pipeline.rig import Rig

FPS, WIDTH, HEIGHT = 10.0, 1280, 720
INFO = CameraInfo(WIDTH, HEIGHT, FPS, "scene")
WHOLE = Zone("whole", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))


class SetClock:
    """A clock that stands where it is put."""

    now_ns = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns


def crossings(x: float, seconds: int) -> list[int]:
    """How often the scene's people cross an upright line: to the left and to the right."""
    counts = [0, 0]
    for walker in range(len(WALKERS)):
        side = None
        for n in range(round(seconds * FPS)):
            box = [one.box for one in truth(n, FPS, WIDTH, HEIGHT) if one.kind is Kind.PERSON][walker]
            off = box.centre[0] / WIDTH - x
            if abs(off) < SURE:
                continue
            if side is not None and side != (off > 0):
                counts[off > 0] += 1
            side = off > 0
    return counts


def test_the_scene_is_counted_as_it_is() -> None:
    seconds, clock = 120, SetClock()
    count = Count(INFO, clock)
    lines = [Line(f"at_{x}", (x / 100, 1.0), (x / 100, 0.0)) for x in (40, 55, 70)]
    count.use([WHOLE], lines, 1)
    witness = Witness(PEOPLE, {"one": frozenset({Kind.FACE, Kind.PERSON})})
    witness.watch(count.saw)
    for n in range(round(seconds * FPS)):
        clock.now_ns = round((n + 1) * SECOND_NS / FPS)
        witness.saw("one", Moment(n, clock.now_ns, clock.now_ns), truth(n, FPS, WIDTH, HEIGHT))
    window = count.window()
    assert window.zones["whole"].people == len(WALKERS)
    assert math.isclose(window.looked, 1.0, abs_tol=0.01)
    for line in lines:
        told = window.lines[line.name]
        assert [told.to_left, told.to_right] == crossings(line.begin[0], seconds), line.name
    assert sum(told.to_left or 0 for told in window.lines.values()) > 20


class Two(ToldDetector):
    """Finds two people who stand still."""

    sight: Sight | None = None

    def detect(self, picture: DetectorPicture) -> Sequence[Detection]:
        return [truth(0, FPS, 320, 192)[index] for index in (1, 3)]


async def test_a_running_flow_counts_and_withholds() -> None:
    rig = Rig(Two(), NumberedCamera(), others={})
    count = Count(rig.camera.info, SystemClock())
    rig.flow.watch(count.saw)
    told = []
    async with rig.running():
        for least in (1, 3):
            count.use([WHOLE], [], least)
            await asyncio.sleep(1.2)
            told.append(count.window().zones["whole"].people)
    assert told == [2, None]
