"""What to hide, as data: from what is in a frame to the parts of the picture that are covered."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TypeAlias

from firmware.core.frames import Kind
from firmware.core.geometry import Box

SECOND_NS = 1_000_000_000


Part: TypeAlias = Callable[[Box], Box]
"""From a box to what of it is asked for."""


def whole(box: Box) -> Box:
    """Return all of it."""
    return box


@dataclass(frozen=True, slots=True)
class Present:
    """What may be in a frame, and where: all of it, and the part that the policy asks for."""

    kind: Kind
    box: Box
    part: Box


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom to hide; growth factors scale a box about its centre.

    Where bodies stay visible, a person is the last witness for a head: of somebody whose head was found by
    nobody, that part of the body is hidden where a head is. It is `head_widths` of the body's width high, so
    that it fits who stands, who sits and who is seen to the shoulders alone, and at least `head_share` of its
    height; of a body that a side of the frame cuts, whose width says little, `cut_share`.
    """

    name: str
    bodies: bool
    face_growth: float = 1.4
    head_growth: float = 1.2
    body_growth: float = 1.06
    head_share: float = 0.25
    head_widths: float = 0.8
    cut_share: float = 0.5
    head_share_growth: float = 1.2
    kinds: frozenset[Kind] = frozenset(Kind)
    """What counts: who finds one of these is needed, what is of another kind stays visible."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything above but the name, as hex: two policies with one digest hide the same."""
        told = asdict(self) | {"name": None, "kinds": sorted(self.kinds)}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def parts(self, width: int) -> Mapping[Kind, Part]:
        """Return what is asked for of each kind in a picture of that width.

        It is taken of each observation and not of what these were made to cover: the head of somebody who
        sits down is not at the top of the box around both.
        """
        every: dict[Kind, Part] = dict.fromkeys(Kind, whole)
        if not self.bodies:
            every[Kind.PERSON] = lambda body: self.head_of(body, width)
        return every

    def head_of(self, body: Box, width: int) -> Box:
        """Return where the head of a body is, in a picture of that width."""
        cut = body.x < EDGE or body.right > width - EDGE
        high = max(body.h * (self.cut_share if cut else self.head_share), body.w * self.head_widths)
        return Box(body.x, body.y, body.w, min(body.h, high))

    def covers(self, present: Sequence[Present]) -> list[Box]:
        """Return the parts to hide in one frame, given everything that is in it."""
        faces, heads, people = (
            [one for one in present if one.kind is wanted and wanted in self.kinds]
            for wanted in (Kind.FACE, Kind.HEAD, Kind.PERSON)
        )
        covered = [face.box.grown(self.face_growth) for face in faces]
        covered += [head.box.grown(self.head_growth) for head in heads]
        if self.bodies:
            return covered + [body.box.grown(self.body_growth) for body in people]
        without = headless(people, [head.box for head in heads])
        return covered + [body.part.grown(self.head_share_growth) for body in without]


EDGE = 2.0
"""Pixels: a box so near to the frame's edge is cut by it."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a look at the scene holds, whatever is hidden.

    `predict_for_ns` bounds how far the looks before and after a frame may be from it; `coast_ns` is how long
    a lost track stays hidden. At least `hold_frames` are kept before release, and up to `hold_limit` while a
    look is awaited.
    """

    hold_frames: int = 4
    hold_limit: int = 15
    predict_for_ns: int = SECOND_NS // 2
    coast_ns: int = SECOND_NS


TIMING = Timing()


def headless(people: Sequence[Present], heads: Sequence[Box]) -> list[Present]:
    """Return the people for whom there is no head; one head is one person's alone.

    A head belongs to a body where it ends at the same height above. Somebody else's head in front of a body
    does not, and where in doubt the body counts as headless: more is hidden, never less.
    """
    free, without = list(heads), []
    for one in people:
        body = one.box
        own = min((head for head in free if _tops(head, body)), key=lambda h: abs(h.y - body.y), default=None)
        if own is None:
            without.append(one)
        else:
            free.remove(own)
    return without


def _tops(head: Box, body: Box) -> bool:
    """Tell whether a head sits at the top of a body, and is no larger than half of it."""
    across, _ = head.centre
    level = abs(head.y - body.y) <= head.h / 3
    return level and body.x <= across <= body.right and head.h <= body.h / 2


PEOPLE = Policy(name="people", bodies=True)
"""Faces and bodies are hidden: the default."""

FACES = Policy(name="faces", bodies=False)
"""Faces and heads are hidden, bodies stay visible."""

POLICIES: Mapping[str, Policy] = MappingProxyType({policy.name: policy for policy in (PEOPLE, FACES)})
"""Every policy that an owner can choose, by name."""
