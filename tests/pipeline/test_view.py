"""How wide the detectors' picture is cut: as the neediest network wants, never wider than the frame."""

import pytest

from firmware.pipeline.view import picture_width
from tests.pipeline.doubles import ToldDetector


class Wants(ToldDetector):
    """A detector whose network takes one size, or each picture's."""

    def __init__(self, size: tuple[int, int] | None) -> None:
        super().__init__()
        self.input_size = size


@pytest.mark.parametrize(
    ("sizes", "frame", "width"),
    [
        ([(640, 384)], (1280, 720), 640),
        ([(640, 384), (960, 544)], (1280, 720), 960),
        ([(416, 256), (512, 288)], (1280, 720), 512),
        ([(640, 384)], (720, 1280), 216),
        ([(960, 544)], (640, 360), 640),
        ([None], (1280, 720), 1280),
    ],
)
def test_width(sizes: list[tuple[int, int] | None], frame: tuple[int, int], width: int) -> None:
    detectors = [Wants(size) for size in sizes]
    assert picture_width(detectors, *frame) == width
