"""What to hide, as data: from a detected box to the part of the picture that is covered."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from firmware.core.frames import Kind
from firmware.core.geometry import Box

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom to hide and how long a look at the scene holds.

    Growth factors scale a box about its centre. `predict_for_ns` bounds how far the looks before and after a
    frame may be from it; `coast_ns` is how long a lost track stays hidden. At least `hold_frames` are kept
    before release, and up to `hold_limit` while a look is awaited.
    """

    name: str
    bodies: bool
    face_growth: float = 1.4
    body_growth: float = 1.06
    hold_frames: int = 4
    hold_limit: int = 15
    predict_for_ns: int = SECOND_NS // 2
    coast_ns: int = SECOND_NS

    def cover(self, kind: Kind, box: Box) -> Box:
        """Return the part to hide for one detected box.

        Where bodies stay visible, a person is the second witness for a face: the head, the top quarter of
        the box grown by a fifth, is hidden even if no face was found.
        """
        if kind is Kind.FACE:
            return box.grown(self.face_growth)
        if self.bodies:
            return box.grown(self.body_growth)
        return Box(box.x, box.y, box.w, box.h / 4).grown(1.2)


PEOPLE = Policy(name="people", bodies=True)
"""Faces and bodies are hidden: the default."""

FACES = Policy(name="faces", bodies=False)
"""Faces and heads are hidden, bodies stay visible."""

POLICIES: Mapping[str, Policy] = MappingProxyType({policy.name: policy for policy in (PEOPLE, FACES)})
