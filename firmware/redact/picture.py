"""Reads and writes pictures, one or several in a file; only pixels come through, no EXIF, no transparency.

Colours by a profile are converted to sRGB and the profile goes: it tells of device, owner and date, and a
detector that looked at pixels without it would look at another picture than whoever is shown the output.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from firmware.core.display import GROUND
from firmware.core.frames import Plane, Planes, RedactedFrame
from firmware.core.raw import RawFrame
from firmware.errors import OutputError, SourceCorrupt, SourceNotFound

SUFFIXES = MappingProxyType(
    {
        ".jpg": "JPEG",
        ".jpeg": "JPEG",
        ".jfif": "JPEG",
        ".png": "PNG",
        ".apng": "PNG",
        ".webp": "WEBP",
        ".bmp": "BMP",
        ".gif": "GIF",
        ".tif": "TIFF",
        ".tiff": "TIFF",
        ".avif": "AVIF",
    }
)
"""Format by the file's suffix."""

SEVERAL = ("PNG", "WEBP", "GIF", "TIFF", "AVIF")
"""Formats that hold more than one picture."""

READ = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
"""What is read, whatever the suffix says; nothing that is a program, such as PostScript."""

MOST_PIXELS = 200_000_000
"""Of one picture; a file of a few bytes can claim any size."""
MOST_IN_ALL = 2_000_000_000
"""Of all pictures of one file."""
MOST_KEPT = 50_000_000
"""Pixels of a single picture that is decoded once and kept; a larger one is decoded for each pass."""
PAGE_NS = 3_600_000_000_000
"""Pages of a TIFF have nothing to do with one another: nobody is followed from one to the next."""
MOST_PROFILE = 4 << 20
"""Bytes; printers' profiles have one or two megabytes."""
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
DEFAULT_MS = 100
"""How long a picture of an animation is shown that does not say."""

KEPT: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "JPEG": {"quality": 95},
        "WEBP": {"quality": 95},
        "AVIF": {"quality": 90},
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
)
"""How well each format keeps what it is given."""


# Sizes are held against MOST_PIXELS here, with a line that says what to do, and no warning of the library's.
Image.MAX_IMAGE_PIXELS = None
Image.init()


class Picture:
    """The pictures of one file, each turned as its EXIF orientation says; `width` and `height` may be odd.

    After a pass over `frames`, `lengths_ms` says how long each is shown.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = _read(path)
        with self._opened() as image:
            # A JPEG's further pictures are another lens or a map of depths, and not shown.
            self.count = 1 if image.format in ("JPEG", "MPO") else int(getattr(image, "n_frames", 1))
            self._is_paged = image.format == "TIFF"
            self.loop = int(image.info.get("loop", 1))
            self.lengths_ms: list[int] = []
            pixels = _rgb(image)
        self.height, self.width = pixels.shape[:2]
        self._only: Plane | None = None
        if self.count == 1 and self.width * self.height <= MOST_KEPT:
            self.lengths_ms, self._only = [DEFAULT_MS], _i420(pixels)
        if self.width * self.height * self.count > MOST_IN_ALL:
            size = f"{self.width}x{self.height}"
            raise SourceCorrupt(
                f"{path}: {self.count} pictures of {size} are more than can be held; split it"
            )

    def frames(self) -> Iterator[RawFrame]:
        """Decode the pictures in order, each as a frame at its time.

        Raises:
            SourceCorrupt: one cannot be decoded, or has another size.
        """
        if self._only is not None:
            yield RawFrame(Planes.of(self._only), 0, 0)
            return
        self.lengths_ms, now = [], 0
        with self._opened() as image:
            for seq in range(self.count):
                image.seek(seq)
                pixels = self._checked(image)
                self.lengths_ms.append(round(image.info.get("duration", 0)) or DEFAULT_MS)
                yield RawFrame(Planes.of(_i420(pixels)), now, seq)
                now += PAGE_NS if self._is_paged else self.lengths_ms[-1] * 1_000_000

    def _checked(self, image: Image.Image) -> Plane:
        pixels = _rgb(image)
        if pixels.shape[:2] != (self.height, self.width):
            raise SourceCorrupt(f"{self._path}: its pictures are of several sizes; split it")
        return pixels

    @contextmanager
    def _opened(self) -> Iterator[Image.Image]:
        try:
            with Image.open(io.BytesIO(self._data), formats=READ) as image:
                yield image
        except SourceCorrupt as exc:
            raise SourceCorrupt(f"{self._path}: {exc}") from exc
        except UnidentifiedImageError as exc:
            raise SourceCorrupt(f"{self._path}: not a picture that can be read; copy it again") from exc
        except Exception as exc:  # Pillow's readers raise whatever broken bytes lead them to
            raise SourceCorrupt(f"{self._path}: cannot be decoded ({exc}); copy it again") from exc


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise SourceNotFound(f"{path}: no such file") from exc
    except OSError as exc:
        raise SourceNotFound(f"{path}: may not be read: {exc.strerror}; check its permissions") from exc


def _rgb(image: Image.Image) -> Plane:
    """Return the picture at which an image stands, as it is to be shown: (h, w, 3)."""
    if image.width * image.height > MOST_PIXELS:
        raise SourceCorrupt(f"claims {image.width}x{image.height} pixels; scale it down")
    upright = _in_srgb(ImageOps.exif_transpose(image))
    if upright.mode.startswith(("I", "F")):
        return _of_depth(np.asarray(upright))
    if upright.has_transparency_data:
        ground = Image.new("RGBA", upright.size, (GROUND, GROUND, GROUND, 255))
        upright = Image.alpha_composite(ground, upright.convert("RGBA"))
    return np.asarray(upright.convert("RGB"), np.uint8)


def _in_srgb(image: Image.Image) -> Image.Image:
    """Return an image in the colours that its profile says; as it is where that is none, or not for it."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= MOST_PROFILE:
        return image
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    try:
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(image, io.BytesIO(profile), SRGB, outputMode=mode) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _of_depth(values: npt.NDArray[Any]) -> Plane:
    """Return grey values of any depth with 8 bits, as a picture of three equal channels."""
    top = 65535.0 if values.dtype.kind in "iu" and values.max(initial=0) > 255 else 255.0
    if values.dtype.kind == "f":
        top = max(1.0, float(values.max(initial=0)))
    grey = (values.astype(np.float32) * (255 / top)).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _i420(rgb: Plane) -> Plane:
    # 4:2:0 needs even sizes: the edge is repeated here and cut off again when writing.
    even = np.pad(rgb, ((0, rgb.shape[0] % 2), (0, rgb.shape[1] % 2), (0, 0)), mode="edge")
    return np.asarray(cv2.cvtColor(even, cv2.COLOR_RGB2YUV_I420), np.uint8)


def write_picture(part: Path, suffix: str, picture: Picture, frames: Iterable[RedactedFrame]) -> int:
    """Write the redacted pictures of a file, in the format that `suffix` names; returns how many there were.

    Raises:
        OutputError: they cannot be written, or the format holds one picture alone.
    """
    kind = SUFFIXES[suffix.lower()]
    images = [_image(frame, picture) for frame in frames]
    more: dict[str, Any] = {}
    if len(images) > 1:
        if kind not in SEVERAL:
            raise OutputError(
                f"{part.parent}: {kind} holds one picture; name the output as the input is named"
            )
        more = {"save_all": True, "append_images": images[1:]}
        if kind != "TIFF":
            more |= {"duration": picture.lengths_ms, "loop": picture.loop}
    try:
        images[0].save(part, kind, **KEPT.get(kind, {}), **more)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise OutputError(f"{part.parent}: the picture cannot be written as {kind}: {why}") from exc
    return len(images)


def _image(frame: RedactedFrame, picture: Picture) -> Image.Image:
    rgb = np.asarray(cv2.cvtColor(frame.i420, cv2.COLOR_YUV2RGB_I420), np.uint8)
    return Image.fromarray(rgb[: picture.height, : picture.width])
