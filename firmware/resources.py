"""Finds the data folders, boards and models, in a wheel and in a checkout alike."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Return the folder of data files `name`, "boards" or "models".

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for base in (PACKAGE / "_data", PACKAGE.parent):
        candidate = base / name
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"data folder {name!r} is missing beside {PACKAGE}; reinstall veilcam")


def boards_dir() -> Path:
    """Return the folder of the board files."""
    return data_dir("boards")


def models_dir() -> Path:
    """Return the folder of the model manifests."""
    return data_dir("models")
