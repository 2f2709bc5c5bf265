"""What to hide, as data: from what is in a frame to the parts of the picture that are covered."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

from firmware.core.frames import Kind
from firmware.core.geometry import Box

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom to hide; growth factors scale a box about its centre.

    Where bodies stay visible, a person is the last witness for a head: somebody whose head was found by
    nobody has the top `head_share` of the box hidden.
    """

    name: str
    bodies: bool
    face_growth: float = 1.4
    head_growth: float = 1.2
    body_growth: float = 1.06
    head_share: float = 0.25
    head_share_growth: float = 1.2
    kinds: frozenset[Kind] = frozenset(Kind)
    """What counts: who finds one of these is needed, what is of another kind stays visible."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything above but the name, as hex: two policies with one digest hide the same."""
        told = asdict(self) | {"name": None, "kinds": sorted(self.kinds)}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def covers(self, present: Sequence[tuple[Kind, Box]]) -> list[Box]:
        """Return the parts to hide in one frame, given everything that is in it."""
        faces, heads, people = (
            [box for kind, box in present if kind is wanted and wanted in self.kinds]
            for wanted in (Kind.FACE, Kind.HEAD, Kind.PERSON)
        )
        parts = [face.grown(self.face_growth) for face in faces]
        parts += [head.grown(self.head_growth) for head in heads]
        if self.bodies:
            return parts + [body.grown(self.body_growth) for body in people]
        return parts + [self._top(body) for body in headless(people, heads)]

    def _top(self, body: Box) -> Box:
        return Box(body.x, body.y, body.w, body.h * self.head_share).grown(self.head_share_growth)


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


def headless(people: Sequence[Box], heads: Sequence[Box]) -> list[Box]:
    """Return the people for whom there is no head; one head is one person's alone.

    A head belongs to a body where it ends at the same height above. Somebody else's head in front of a body
    does not, and where in doubt the body counts as headless: more is hidden, never less.
    """
    free, without = list(heads), []
    for body in people:
        own = min((head for head in free if _tops(head, body)), key=lambda h: abs(h.y - body.y), default=None)
        if own is None:
            without.append(body)
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
