"""Nothing but the picture leaves with an access unit."""

import asyncio

import av
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firmware.config.drivers import X264Options
from firmware.core.frames import RedactedFrame, Verdict
from firmware.core.nal import PICTURE, START, picture_alone, units
from firmware.drivers.encoder_x264 import open_encoder
from firmware.pipeline.encode import RedactedRendition

SEI = 6


def kinds(access_unit: bytes) -> list[int]:
    return [unit[0] & 0x1F for unit in units(access_unit)]


async def test_x264s_own_words_do_not_leave() -> None:
    frames = [
        RedactedFrame(np.full((96, 64), 60 + n, np.uint8), n * 40_000_000, n, Verdict.VERIFIED, ())
        for n in range(30)
    ]
    async with open_encoder(X264Options(driver="x264"), 64, 64, 25) as encoder:
        first = encoder.encode(frames[0].planes, 0, keyframe=True)
        assert first is not None
        assert SEI in kinds(first.data), "or this test proves nothing"
    async with open_encoder(X264Options(driver="x264"), 64, 64, 25) as encoder:
        rendition = RedactedRendition(encoder)
        packets = await asyncio.to_thread(lambda: [rendition.encode(frame) for frame in frames])
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    for packet in packets:
        assert packet is not None
        assert set(kinds(packet.data)) <= PICTURE
        assert b"x264" not in packet.data
        (picture,) = decoder.decode(av.Packet(packet.data))
        assert isinstance(picture, av.VideoFrame)


@given(st.lists(st.tuples(st.integers(0, 31), st.binary(max_size=40), st.booleans()), max_size=12))
def test_units_come_back_and_only_those_of_pictures_pass(made: list[tuple[int, bytes, bool]]) -> None:
    whole, expected = b"", []
    for kind, content, long in made:
        # What an encoder writes never looks like a start code (emulation prevention) and ends in a one.
        unit = bytes([kind]) + content.replace(b"\0", b"\2") + b"\x80"
        whole += (b"\0" if long else b"") + START + unit
        expected.append(unit)
    assert list(units(whole)) == expected
    assert list(units(picture_alone(whole))) == [unit for unit in expected if unit[0] & 0x1F in PICTURE]


@given(st.binary(max_size=200))
def test_rubbish_is_no_picture(rubbish: bytes) -> None:
    assert set(kinds(picture_alone(rubbish))) <= PICTURE
