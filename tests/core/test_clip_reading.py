"""What a clip gives is what was written into it, picture by picture, or absent and told of."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from firmware.core.clip_file import contexts_of, open_clip
from firmware.core.clip_reading import Reading

WIDTH, HEIGHT, COUNT = 320, 192, 60
STEP_NS = 40_000_000
X264, X265 = {"preset": "veryfast"}, {"preset": "ultrafast"}
GROUP = "keyint=20:min-keyint=20:scenecut=0"
QUIET = f"{GROUP}:log-level=none"


@dataclass(frozen=True)
class Kind:
    """How a clip is coded; the first pictures of a cut one are not in it."""

    codec: str
    suffix: str
    options: dict[str, str]
    cut: int = 0
    layout: str = "yuv420p"


PLAIN = Kind("libx264", "mp4", {**X264, "x264-params": GROUP})
KINDS = {
    "b-frames": PLAIN,
    "pyramid": Kind("libx264", "mkv", {**X264, "x264-params": f"{GROUP}:bframes=5:b-pyramid=normal:ref=5"}),
    "open": Kind("libx264", "mp4", {**X264, "x264-params": f"{GROUP}:open-gop=1:bframes=3"}),
    "slices": Kind("libx264", "mp4", {**X264, "x264-params": f"{GROUP}:slices=4"}),
    "intra-refresh": Kind("libx264", "mkv", {**X264, "x264-params": "intra-refresh=1:keyint=20:bframes=2"}),
    "fields": Kind("libx264", "ts", {**X264, "x264-params": f"{GROUP}:tff=1"}),
    "stream": Kind("libx264", "ts", PLAIN.options),
    "avi": Kind("libx264", "avi", PLAIN.options),
    "flv": Kind("libx264", "flv", PLAIN.options),
    "hevc": Kind("libx265", "mp4", {**X265, "x265-params": f"{QUIET}:bframes=3:open-gop=0"}),
    "hevc-open": Kind("libx265", "mkv", {**X265, "x265-params": f"{QUIET}:bframes=3:open-gop=1"}),
    "hevc-digest": Kind("libx265", "mp4", {**X265, "x265-params": f"{QUIET}:hash=1"}),
    "mpeg4": Kind("mpeg4", "mp4", {"g": "20", "bf": "2", "b": "2000000"}),
    "mpeg2": Kind("mpeg2video", "ts", {"g": "12", "bf": "2", "b": "2000000"}),
    "vp9": Kind("libvpx-vp9", "webm", {"deadline": "realtime", "cpu-used": "8", "g": "20", "b": "1000000"}),
    "av1": Kind("libsvtav1", "mp4", {"preset": "12", "g": "20"}),
    "mjpeg": Kind("mjpeg", "avi", {"b": "2000000"}, layout="yuvj420p"),
    "prores": Kind("prores_ks", "mov", {}, layout="yuv422p10le"),
    "huffyuv": Kind("huffyuv", "avi", {}, layout="yuv422p"),
}
CUT = {
    "from-the-middle": Kind("libx264", "mp4", PLAIN.options, 7),
    "from-an-open-group": Kind("libx264", "ts", KINDS["open"].options, 7),
    "from-an-intra-refresh": Kind("libx264", "mkv", KINDS["intra-refresh"].options, 7),
    "hevc-from-an-open-group": Kind("libx265", "ts", KINDS["hevc-open"].options, 7),
    "mpeg2-from-the-middle": Kind("mpeg2video", "ts", KINDS["mpeg2"].options, 5),
}
NOTICED = [name for name in KINDS if name not in ("vp9", "av1", "mjpeg", "prores", "huffyuv")]


def made(folder: Path, kind: Kind) -> Path:
    """Write a clip of a texture that moves."""
    path = folder / f"clip.{kind.suffix}"
    texture = np.random.default_rng(0).integers(16, 235, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    texture = np.repeat(np.repeat(texture, 8, 0), 8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(kind.codec, rate=25, options=kind.options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, kind.layout
        stream.codec_context.thread_count = 1
        packets = []
        for n in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.roll(texture, 3 * n, 1), format="rgb24")
            frame = frame.reformat(format=kind.layout)
            frame.pts, frame.time_base = n, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for n, packet in enumerate(packets):
            if n >= kind.cut:
                container.mux(packet)
    return path


def lacking(path: Path, gone: int) -> Path:
    """Write a clip again without one of its packets; x264's intra refresh is not the same if coded again."""
    other = path.with_stem("lacking")
    with av.open(str(path)) as source, av.open(str(other), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for n, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            if n != gone:
                packet.stream = stream
                container.mux(packet)
    return other


def decoded(path: Path) -> list[tuple[int | None, str]]:
    """Return what the decoder itself gives of a clip, whatever that is made of."""
    with av.open(str(path)) as container:
        return [told(frame) for frame in container.decode(video=0)]


def told(frame: av.VideoFrame) -> tuple[int | None, str]:
    return frame.pts, hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()


def read(path: Path) -> tuple[list[tuple[int | None, str]], str]:
    """Return the pictures of a clip, by time and digest, and what is said to be lost."""
    with open_clip(path) as container:
        stream = container.streams.video[0]
        reading = Reading(container, stream, contexts_of(path, stream), 2)
        return [told(frame) for frame in reading], reading.lost(STEP_NS)


@pytest.mark.parametrize("kind", [*KINDS, *CUT])
def test_a_sound_clip_gives_all_that_its_decoder_gives(kind: str, tmp_path: Path) -> None:
    path = made(tmp_path, (KINDS | CUT)[kind])
    whole = decoded(path)
    assert len(whole) == COUNT if kind in KINDS else 0 < len(whole) < COUNT
    assert read(path) == (whole, "")


def few(length: int) -> slice:
    return slice(length // 2, min(length // 2 + 48, length - 4))


def end(length: int) -> slice:
    return slice(length // 2, length)


@pytest.mark.parametrize("at", [5, 20, 33])
@pytest.mark.parametrize("where", [few, end])
@pytest.mark.parametrize("kind", NOTICED)
def test_bytes_that_are_gone_are_a_loss_that_is_told(
    kind: str, where: Callable[[int], slice], at: int, tmp_path: Path
) -> None:
    path = made(tmp_path, KINDS[kind])
    whole = {digest for _, digest in decoded(path)}
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][at]
        there, length = packet.pos, packet.size
    gone = where(length)
    data = bytearray(path.read_bytes())
    data[there + gone.start : there + gone.stop] = bytes(gone.stop - gone.start)
    path.write_bytes(data)
    pictures, lost = read(path)
    assert "could not be decoded" in lost
    # An intra refresh takes a whole group to be complete, after the one that is damaged.
    assert (1 if kind == "intra-refresh" else COUNT // 3) <= len(pictures) < COUNT
    assert {digest for _, digest in pictures} < whole, "a picture was made up"


@pytest.mark.parametrize("kind", [name for name in NOTICED if name not in ("mpeg4", "mpeg2")])
def test_a_picture_that_others_refer_to_and_that_is_gone_is_a_loss_that_is_told(
    kind: str, tmp_path: Path
) -> None:
    path = made(tmp_path, KINDS[kind])
    whole = {digest for _, digest in decoded(path)}
    pictures, lost = read(lacking(path, 1))
    assert "could not be decoded" in lost
    assert {digest for _, digest in pictures} < whole, "a picture was made up"
