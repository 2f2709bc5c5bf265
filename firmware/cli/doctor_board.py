"""What a machine lacks for its board: drivers and models. `doctor` itself runs where packages are missing."""

from collections.abc import Iterator

from firmware.binding import bind_detectors
from firmware.cli.boards import lacks
from firmware.config.model import ModelCache, default_cache, load_chains, load_manifests
from firmware.config.profile import Profile, chosen_profile
from firmware.errors import VeilcamError

Told = tuple[bool, str, str]
"""Whether it is well, what was looked at, and what was seen or what to do."""


def examine(board: str | None) -> Iterator[Told]:
    """Look at the board's drivers and models; raises UnknownBoard or ConfigError."""
    profile = chosen_profile(board)
    yield True, "board", f"{profile.name}: {profile.title}"
    missing = lacks(profile)
    for line in missing:
        yield False, "driver", line
    if not missing:
        yield _models(profile)


def _models(profile: Profile) -> Told:
    cache = ModelCache(default_cache())
    try:
        bound = bind_detectors(profile.detectors, profile.look, cache)
    except VeilcamError as exc:
        return False, "models", str(exc)
    more = "" if bound.chain == load_chains()[0].name else f"; {_why_not_the_best(cache)}"
    return True, "models", f"chain {bound.chain}: {', '.join(bound.names)}{more}"


def _why_not_the_best(cache: ModelCache) -> str:
    """Name what of the best chain is missing, and how to get it."""
    best, manifests = load_chains()[0], load_manifests()
    lacking = [name for name in best.live if not cache.has_model(manifests[name])]
    if not lacking:
        return f"the better chain {best.name} is here, but not chosen for this board"
    titles = " and ".join(f"{name} ({manifests[name].title})" for name in lacking)
    fetch = f"veilcam models fetch {' '.join(lacking)}"
    return f"of the better chain {best.name}, {titles} not in {cache.root}: {fetch}"
