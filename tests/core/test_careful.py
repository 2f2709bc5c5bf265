"""Nothing is given out that a stream with missing or damaged parts did not bring whole."""

import random
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest

from firmware.core.careful import CarefulDecoder, copies
from firmware.core.damage import DamagedError
from firmware.core.nal import START

WIDTH, HEIGHT, COUNT, GROUP = 320, 240, 60, 20
CODECS = {
    "h264": ("libx264", {"preset": "ultrafast", "bf": "0", "g": "20"}, "yuv420p"),
    "h264-cabac": ("libx264", {"preset": "veryfast", "tune": "zerolatency", "g": "20"}, "yuv420p"),
    "h264-slices": ("libx264", {"preset": "ultrafast", "g": "20", "slices": "4", "threads": "1"}, "yuv420p"),
    "h264-ahead": ("libx264", {"preset": "veryfast", "g": "20", "slices": "4", "threads": "1"}, "yuv420p"),
    "hevc": ("libx265", {"x265-params": "keyint=20:bframes=0:log-level=none:repeat-headers=1"}, "yuv420p"),
    "mjpeg": ("mjpeg", {}, "yuvj420p"),
}


def decoder(name: str) -> CarefulDecoder:
    context = av.CodecContext.create(name.partition("-")[0], "r")
    assert isinstance(context, av.VideoCodecContext)
    return CarefulDecoder(copies(context))


def encoded(name: str, count: int = COUNT) -> list[av.Packet]:
    """Return a stream of a texture that moves to the left."""
    codec, options, layout = CODECS[name]
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, layout
    context.time_base, context.options = Fraction(1, 25), options
    texture = np.random.default_rng(0).integers(16, 235, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    texture = np.repeat(np.repeat(texture, 8, 0), 8, 1)
    packets = []
    for n in range(count):
        frame = av.VideoFrame.from_ndarray(np.roll(texture, 3 * n, 1), format="rgb24")
        frame = frame.reformat(format=layout)
        frame.pts = n
        packets += context.encode(frame)
    return [*packets, *context.encode(None)]


def remade(packet: av.Packet, data: bytes) -> av.Packet:
    # Made of its length, it ends in the zeros that decoders read beyond the end.
    made = av.Packet(len(data))
    made.update(data)
    made.pts, made.is_keyframe = packet.pts, packet.is_keyframe
    return made


def played(name: str, packets: list[av.Packet]) -> tuple[dict[int, np.ndarray], int]:
    """Return the pictures by their time, and how many packets were damaged."""
    careful, pictures, damaged = decoder(name), {}, 0
    for packet in packets:
        try:
            for frame in careful.decode(packet):
                pictures[frame.pts] = frame.to_ndarray()
        except DamagedError:
            damaged += 1
    pictures |= {frame.pts: frame.to_ndarray() for frame in careful.rest()}
    return pictures, damaged


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def without_middle(data: bytes) -> bytes:
    return data[: len(data) // 2] + data[len(data) * 3 // 4 :]


def nothing(_: bytes) -> bytes:
    return b""


def without_last_unit(data: bytes) -> bytes:
    return data[: data.rindex(START)]


SPOILED: list[tuple[str, Callable[[bytes], bytes]]] = [
    *((name, how) for name in CODECS if name != "h264-ahead" for how in (half, without_middle, nothing)),
    ("h264-slices", without_last_unit),
]


@pytest.mark.parametrize(("name", "how"), SPOILED)
@pytest.mark.parametrize("at", [7, GROUP, 33])
def test_what_is_given_out_is_what_was_sent(name: str, how: Callable[[bytes], bytes], at: int) -> None:
    packets = encoded(name)
    whole, none = played(name, packets)
    assert (len(whole), none) == (COUNT, 0)
    spoiled = how(bytes(packets[at]))
    kept = [remade(packet, bytes(packet)) for packet in packets]
    kept[at : at + 1] = [remade(packets[at], spoiled)] if spoiled else []
    pictures, damaged = played(name, kept)
    assert damaged or how is nothing
    assert at not in pictures
    assert all((picture == whole[pts]).all() for pts, picture in pictures.items())
    following = at + 1 if name == "mjpeg" else at // GROUP * GROUP + GROUP
    assert set(range(following, COUNT)) <= set(pictures), "it goes on at the next key frame"


@pytest.mark.parametrize("at", range(1, GROUP))
def test_what_is_shown_before_a_picture_that_lacks_a_slice_is_whole(at: int) -> None:
    """The decoder says that it made something up when that comes out, after those that refer to it."""
    packets = encoded("h264-ahead")
    whole, _ = played("h264-ahead", packets)
    kept = [remade(packet, bytes(packet)) for packet in packets]
    kept[at] = remade(packets[at], without_last_unit(bytes(packets[at])))
    pictures, damaged = played("h264-ahead", kept)
    assert damaged
    assert all((picture == whole[pts]).all() for pts, picture in pictures.items())


def test_two_key_frames_in_a_row_are_damaged() -> None:
    packets = encoded("h264")
    whole, _ = played("h264", packets)
    kept = [remade(p, half(bytes(p)) if p.pts in (0, GROUP) else bytes(p)) for p in packets]
    pictures, _ = played("h264", kept)
    assert sorted(pictures) == list(range(2 * GROUP, COUNT))
    assert all((picture == whole[pts]).all() for pts, picture in pictures.items())


@pytest.mark.parametrize("name", ["h264", "h264-cabac", "hevc", "mjpeg"])
def test_many_losses_at_once(name: str) -> None:
    chance = random.Random(3)  # noqa: S311 - the same losses every time
    packets = encoded(name, 200)
    whole, _ = played(name, packets)
    kept = [remade(packet, bytes(packet)) for packet in packets if chance.random() > 0.1]
    pictures, _ = played(name, kept)
    assert pictures
    assert all((picture == whole[pts]).all() for pts, picture in pictures.items())
