"""Clips as people have them: turned, stretched, interlaced, with covers and second cameras."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.filter import Graph
from av.stream import Disposition

from firmware.core.frames import Plane

TICK = Fraction(1, 1000)


def make(
    path: Path,
    pictures: Sequence[Plane],
    *,
    stamps_ms: Sequence[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    aspect: Fraction | None = None,
    matrix: Sequence[int] | None = None,
    fields: str = "",
    full_range: bool = False,
    tail_ms: int = 0,
    options: dict[str, str] | None = None,
    unit: Fraction = TICK,
) -> Path:
    """Write a clip of pictures (h, w, 3), by default 25 a second; the last one is shown for `tail_ms`."""
    stamps = stamps_ms or [40 * n for n in range(len(pictures))]
    with av.open(str(path), "w", options=options or {}) as container:
        stream = _stream(container, pictures[0], codec, pix_fmt, unit)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix is not None:
            stream.set_display_matrix(list(matrix))
        if full_range:
            stream.codec_context.color_range = 2
        if fields:
            stream.codec_context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        height, width = pictures[0].shape[:2]
        labelled = _fields(width, height, fields, unit) if fields else None
        packets = []
        for picture, stamp in zip(pictures, stamps, strict=True):
            frame = _frame(picture, pix_fmt, full_range)
            frame.pts, frame.time_base = round(Fraction(stamp, 1000) / unit), unit
            if labelled is not None:
                labelled.push(frame)
                frame = labelled.vpull()
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet, following in zip(packets, [*packets[1:], None], strict=True):
            if following is not None:
                packet.duration = following.pts - packet.pts
            elif tail_ms:
                packet.duration = round(Fraction(tail_ms, 1000) / unit)
            container.mux(packet)
    return path


def _stream(container: Any, picture: Plane, codec: str, pix_fmt: str, unit: Fraction) -> Any:
    x264 = {"preset": "ultrafast", "crf": "12", "bf": "0", "g": "10"}
    stream = container.add_stream(codec, rate=25, options=x264 if codec == "libx264" else {})
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = pix_fmt
    if codec not in ("libx264", "png", "ffv1", "qtrle"):
        stream.bit_rate = 3_000_000
    stream.time_base = stream.codec_context.time_base = unit
    return stream


def _frame(picture: Plane, pix_fmt: str, full_range: bool) -> av.VideoFrame:
    if picture.shape[2] == 4:
        return av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format=pix_fmt)
    frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
    frame = frame.reformat(format=pix_fmt, dst_color_range="JPEG" if full_range else "MPEG")
    if full_range:
        frame.color_range = 2
    return frame


def _fields(width: int, height: int, fields: str, unit: Fraction) -> Graph:
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(width=width, height=height, format=av.VideoFormat("yuv420p"), time_base=unit),
        graph.add("setfield", f"mode={fields}"),
        graph.add("buffersink"),
    ).configure()
    return graph


def several(path: Path, films: Sequence[tuple[Sequence[Plane], str, int]], *, sound: bool = False) -> Path:
    """Write a file of several video streams: for each its pictures, its codec and its disposition."""
    with av.open(str(path), "w") as container:
        streams = []
        for pictures, codec, disposition in films:
            stream = _stream(
                container, pictures[0], codec, "yuvj420p" if codec == "mjpeg" else "yuv420p", TICK
            )
            if codec == "mjpeg":
                stream.codec_context.color_range = 2
            stream.disposition = Disposition(disposition)
            streams.append(stream)
        packets = []
        for stream, (pictures, codec, _) in zip(streams, films, strict=True):
            for n, picture in enumerate(pictures):
                frame = _frame(picture, "yuvj420p" if codec == "mjpeg" else "yuv420p", codec == "mjpeg")
                frame.pts, frame.time_base = 40 * n, TICK
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def marked(width: int = 160, height: int = 96, n: int = 0) -> Plane:
    """A picture without anybody that looks different from every side, with a bar that moves."""
    picture = np.full((height, width, 3), (60, 90, 120), np.uint8)
    picture[: height // 3, : width // 4] = (20, 20, 180)
    picture[height // 2 :, : width // 8] = (180, 20, 20)
    picture[height // 4 : height // 3, 8 + 2 * n : 24 + 2 * n] = (30, 160, 30)
    return picture


def film(length: int = 12, width: int = 160, height: int = 96) -> list[Plane]:
    """Pictures of `marked`."""
    return [marked(width, height, n) for n in range(length)]


def noise(width: int, height: int, n: int = 0) -> Plane:
    """A picture that takes room in a file."""
    return np.random.default_rng(n).integers(0, 200, (height, width, 3), dtype=np.uint8)
