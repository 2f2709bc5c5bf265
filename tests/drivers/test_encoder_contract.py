"""What the pipeline may rely on, whichever driver a board names for its encoder (contracts.py)."""

import av
import numpy as np
import pytest

from firmware.config.drivers import NvencOptions, V4l2m2mOptions
from firmware.core.frames import Planes
from firmware.core.nal import IDR, PPS, SPS, parameter_sets, units
from firmware.drivers import encoder_v4l2m2m
from firmware.errors import DriverUnavailable, EncoderFailed
from tests.drivers.alone import by_itself
from tests.drivers.contracts import ENCODERS, HEIGHT, WIDTH, encoder, jetson

FRAME_NS = 33_333_333


def picture(n: int) -> Planes:
    """A ramp with a square that moves."""
    luma = np.tile(np.linspace(40, 200, WIDTH, dtype=np.uint8), (HEIGHT, 1))
    luma[60:120, 4 * n : 4 * n + 60] = 230
    return Planes(
        luma,
        np.full((HEIGHT // 2, WIDTH // 2), 90, np.uint8),
        np.full((HEIGHT // 2, WIDTH // 2), 160, np.uint8),
    )


@pytest.mark.parametrize("name", ENCODERS)
@by_itself
async def test_what_comes_out_is_what_went_in_with_no_picture_late(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, decoder = [], av.CodecContext.create("h264", "r")
    async with encoder(name, monkeypatch) as made:
        for n in range(20):
            told = made.encode(picture(n), 10**9 + n * FRAME_NS, keyframe=n in (0, 12))
            assert told is not None, "one in, one out"
            kinds = {unit[0] & 0x1F for unit in units(told.data)}
            assert told.keyframe == (IDR in kinds)
            assert told.keyframe == (n in (0, 12))
            assert not told.keyframe or {SPS, PPS} <= kinds, "whoever comes now can begin here"
            shown += decoder.decode(av.Packet(told.data))
    shown += decoder.decode(None)
    assert len(shown) == 20
    for n, frame in enumerate(shown):
        y = frame.reformat(format="yuv420p").to_ndarray()[:HEIGHT, :WIDTH].astype(int)
        error = float(np.mean((y - picture(n).y.astype(int)) ** 2))
        assert 10 * np.log10(255**2 / max(error, 1e-9)) > 28, "in its own order"


@pytest.mark.parametrize("name", ENCODERS)
@by_itself
async def test_a_stream_can_be_begun_at_any_keyframe(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = av.CodecContext.create("h264", "r")
    shown = 0
    async with encoder(name, monkeypatch) as made:
        for n in range(16):
            told = made.encode(picture(n), n * FRAME_NS, keyframe=n in (0, 10))
            assert told is not None
            shown += len(decoder.decode(av.Packet(told.data))) if n >= 10 else 0
    shown += len(decoder.decode(None))
    assert shown == 6


@pytest.mark.parametrize("name", ENCODERS)
@by_itself
async def test_planes_with_padded_rows_are_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    padded = [
        np.zeros((p.shape[0], p.shape[1] + 40), np.uint8) for p in (picture(0).y, picture(0).u, picture(0).v)
    ]
    views = []
    for room, plane in zip(padded, (picture(0).y, picture(0).u, picture(0).v), strict=True):
        room[:, : plane.shape[1]] = plane
        views.append(room[:, : plane.shape[1]])
    async with encoder(name, monkeypatch) as made:
        plain = made.encode(picture(0), 0, keyframe=True)
    async with encoder(name, monkeypatch) as made:
        told = made.encode(Planes(*views), 0, keyframe=True)
    assert plain is not None
    assert told is not None
    assert told.data == plain.data


@by_itself
async def test_parameter_sets_that_came_once_are_put_before_every_keyframe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with encoder("v4l2m2m", monkeypatch) as made:
        first = made.encode(picture(0), 0, keyframe=True)
        assert first is not None
        bare = first.data.replace(parameter_sets(first.data), b"")
        assert isinstance(made, encoder_v4l2m2m.V4l2m2mEncoder)
        assert parameter_sets(bare) == b""
        assert made._with_sets(bare) == parameter_sets(first.data) + bare


@by_itself
async def test_a_machine_without_the_block_is_told_what_to_do() -> None:
    with pytest.raises(DriverUnavailable, match=r"no H.264 block that takes 328x240 .*x264"):
        async with encoder_v4l2m2m.open_encoder(V4l2m2mOptions(driver="v4l2m2m"), WIDTH, HEIGHT, 30):
            pass


@by_itself
async def test_a_jetson_without_the_block_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = jetson(monkeypatch)
    monkeypatch.setattr(driver, "ENCODE", "nvv4l2h264enc bitrate={bitrate} iframeinterval={interval}")
    with pytest.raises(DriverUnavailable, match=r"encoder driver 'nvenc': no element \"nvv4l2h264enc\""):
        async with driver.open_encoder(NvencOptions(driver="nvenc"), WIDTH, HEIGHT, 30):
            pass


@by_itself
async def test_a_block_that_gives_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = jetson(monkeypatch)
    monkeypatch.setattr(driver, "WITHIN_S", 0.3)
    monkeypatch.setattr(
        driver, "ENCODE", "valve drop=true ! videoconvert ! openh264enc bitrate={bitrate} gop-size={interval}"
    )
    async with driver.open_encoder(NvencOptions(driver="nvenc"), WIDTH, HEIGHT, 30) as made:
        with pytest.raises(EncoderFailed, match="it gives nothing; restart the camera"):
            made.encode(picture(0), 0, keyframe=True)
