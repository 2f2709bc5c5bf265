"""Reads and writes one picture; only pixels come through, no EXIF, no colour profile, no transparency."""

from pathlib import Path

import cv2
import numpy as np

from firmware.core.frames import Plane, Planes, RedactedFrame
from firmware.core.raw import RawFrame
from firmware.errors import OutputError, SourceCorrupt, SourceNotFound

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

QUALITY = {
    ".jpg": (cv2.IMWRITE_JPEG_QUALITY, 95),
    ".jpeg": (cv2.IMWRITE_JPEG_QUALITY, 95),
    ".webp": (cv2.IMWRITE_WEBP_QUALITY, 95),
}


class Picture:
    """A decoded picture, turned as its EXIF orientation says; `width` and `height` may be odd."""

    def __init__(self, path: Path) -> None:
        bgr = _decoded(path)
        self.height, self.width = int(bgr.shape[0]), int(bgr.shape[1])
        # 4:2:0 needs even sizes: the edge is repeated here and cut off again when writing.
        even = np.pad(bgr, ((0, self.height % 2), (0, self.width % 2), (0, 0)), mode="edge")
        self._i420 = np.asarray(cv2.cvtColor(even, cv2.COLOR_BGR2YUV_I420), np.uint8)

    def frame(self) -> RawFrame:
        """Return the picture as the one frame of a clip."""
        return RawFrame(Planes.of(self._i420), 0, 0)


def _decoded(path: Path) -> Plane:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError as exc:
        raise SourceNotFound(f"{path}: no such file") from exc
    except OSError as exc:
        raise SourceNotFound(f"{path}: may not be read: {exc.strerror}; check its permissions") from exc
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error as exc:
        raise SourceCorrupt(f"{path}: not a picture that can be read: {exc.err}; copy it again") from exc
    if bgr is None:
        raise SourceCorrupt(f"{path}: not a picture that can be read; copy it again")
    return np.asarray(bgr, np.uint8)


def write_picture(part: Path, suffix: str, frame: RedactedFrame, width: int, height: int) -> None:
    """Write the top left `width` x `height` of a redacted picture, in the format that `suffix` names.

    Raises:
        OutputError: it cannot be written.
    """
    bgr = np.asarray(cv2.cvtColor(frame.i420, cv2.COLOR_YUV2BGR_I420), np.uint8)[:height, :width]
    try:
        done, data = cv2.imencode(suffix.lower(), bgr, QUALITY.get(suffix.lower(), ()))
    except cv2.error as exc:
        raise OutputError(
            f"{part.parent}: a picture of {width}x{height} cannot be encoded: {exc.err}"
        ) from exc
    if not done:
        raise OutputError(f"{part.parent}: a picture of {width}x{height} cannot be encoded as {suffix}")
    try:
        part.write_bytes(data.tobytes())
    except OSError as exc:
        raise OutputError(f"{part.parent}: cannot be written: {exc.strerror}; see space and rights") from exc
