"""Boxes in pixels and the arithmetic that masking needs: overlap, growth, clipping."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box: left, top, width and height, in pixels of the full picture (float)."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        """Right edge, exclusive."""
        return self.x + self.w

    @property
    def bottom(self) -> float:
        """Bottom edge, exclusive."""
        return self.y + self.h

    @property
    def area(self) -> float:
        """Area in square pixels; zero for an empty box."""
        return max(0.0, self.w) * max(0.0, self.h)

    @property
    def centre(self) -> tuple[float, float]:
        """Centre point (x, y)."""
        return self.x + self.w / 2, self.y + self.h / 2

    def moved(self, dx: float, dy: float) -> "Box":
        """Return the box displaced by (dx, dy)."""
        return Box(self.x + dx, self.y + dy, self.w, self.h)

    def grown(self, fx: float, fy: float | None = None) -> "Box":
        """Return the box scaled about its centre: by `fx` in width, by `fy` (default `fx`) in height."""
        fy = fx if fy is None else fy
        cx, cy = self.centre
        w, h = self.w * fx, self.h * fy
        return Box(cx - w / 2, cy - h / 2, w, h)

    def padded(self, px: float, py: float | None = None) -> "Box":
        """Return the box with `px` pixels more at the left and right, `py` (default `px`) above and below."""
        py = px if py is None else py
        return Box(self.x - px, self.y - py, self.w + 2 * px, self.h + 2 * py)

    def clipped(self, width: float, height: float) -> "Box":
        """Return the part inside a picture of `width` x `height`; width or height 0 if none is."""
        x0, y0 = min(max(self.x, 0.0), width), min(max(self.y, 0.0), height)
        x1, y1 = min(max(self.right, 0.0), width), min(max(self.bottom, 0.0), height)
        return Box(x0, y0, max(0.0, x1 - x0), max(0.0, y1 - y0))

    def union(self, other: "Box") -> "Box":
        """Return the smallest box that holds both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Box(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)

    def scaled(self, sx: float, sy: float) -> "Box":
        """Return the box in a picture that is `sx` times as wide and `sy` times as high."""
        return Box(self.x * sx, self.y * sy, self.w * sx, self.h * sy)


def intersection(a: Box, b: Box) -> float:
    """Return the area shared by two boxes, in square pixels."""
    w = min(a.right, b.right) - max(a.x, b.x)
    h = min(a.bottom, b.bottom) - max(a.y, b.y)
    return w * h if w > 0 and h > 0 else 0.0


def iou(a: Box, b: Box) -> float:
    """Return intersection over union, 0 to 1."""
    shared = intersection(a, b)
    total = a.area + b.area - shared
    return shared / total if total > 0 else 0.0


def covered(inner: Box, outer: Box) -> float:
    """Return the share of `inner` that lies in `outer`, 0 to 1."""
    return intersection(inner, outer) / inner.area if inner.area > 0 else 0.0


def interpolated(a: Box, b: Box, t: float) -> Box:
    """Return the box at `t` (0 = `a`, 1 = `b`) on the straight way from `a` to `b`."""
    return Box(a.x + (b.x - a.x) * t, a.y + (b.y - a.y) * t, a.w + (b.w - a.w) * t, a.h + (b.h - a.h) * t)
