"""Lost reference pictures are noticed by their numbers; noise is refused and never read without end."""

import random
from fractions import Fraction

import av
import numpy as np
import pytest

from firmware.core.bits import Bits
from firmware.core.h264_order import ReferenceOrder
from firmware.core.nal import IDR, SLICE, units

KINDS = {
    "plain": {"preset": "ultrafast", "bf": "0", "g": "20"},
    "wide-numbers": {"preset": "ultrafast", "bf": "0", "g": "250"},
    "b-frames": {"preset": "veryfast", "bf": "3", "g": "20"},
    "pyramid": {"preset": "veryfast", "bf": "3", "g": "20", "x264-params": "b-pyramid=normal:weightp=2"},
    "scaling": {"preset": "veryfast", "bf": "0", "g": "20", "x264-params": "cqm=jvt"},
    "fields": {"preset": "veryfast", "bf": "0", "g": "20", "flags": "+ildct+ilme"},
    "intra": {"preset": "ultrafast", "g": "1"},
    "pairs": {"preset": "ultrafast", "bf": "0", "g": "2"},
}


def encoded(options: dict[str, str], count: int = 80) -> list[tuple[bytes, bool, bool]]:
    """Return access units, whether each is a key frame, and whether none refers to it."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 96, 64, "yuv420p"
    context.time_base, context.options = Fraction(1, 25), options
    texture = np.random.default_rng(0).integers(16, 235, (96, 96), dtype=np.uint8)
    packets = []
    for n in range(count):
        frame = av.VideoFrame.from_ndarray(np.roll(texture, 2 * n, 1), format="yuv420p")
        frame.pts = n
        packets += context.encode(frame)
    packets += context.encode(None)
    return [(bytes(packet), packet.is_keyframe, disposable(bytes(packet))) for packet in packets]


def disposable(access_unit: bytes) -> bool:
    return not any(unit[0] & 0x60 for unit in units(access_unit) if unit[0] & 0x1F in (SLICE, IDR))


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_stream_has_no_gaps(kind: str) -> None:
    order = ReferenceOrder()
    assert not any(order.lost(units(unit)) for unit, _, _ in encoded(KINDS[kind]))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "intra"])
def test_every_lost_reference_is_noticed_before_the_next_key_frame(kind: str) -> None:
    sent = encoded(KINDS[kind])
    for at in range(1, len(sent) - 1):
        _, key, unneeded = sent[at]
        follows_key = sent[at + 1][1]
        order = ReferenceOrder()
        told = [order.lost(units(unit)) for n, (unit, _, _) in enumerate(sent) if n != at]
        if unneeded or (follows_key and not key):
            assert not any(told)
        else:
            assert any(told[at : at + 4]), f"picture {at} is missing"


def test_noise_is_refused() -> None:
    chance = random.Random(1)  # noqa: S311 - the same noise every time
    for size in (0, 1, 3, 30, 3000):
        for kind in (1, 5, 7, 8):
            order = ReferenceOrder()
            order.lost(units(b"\0\0\1" + bytes([0x60 | kind]) + chance.randbytes(size)))
    with pytest.raises(ValueError, match="longer than any"):
        Bits(bytes(100), 64).unsigned()
    with pytest.raises(ValueError, match="ends inside"):
        Bits(b"\x41\x80", 64).take(9)
