"""KEY=VALUE on the command line."""

import argparse
import tomllib


def pair(word: str) -> tuple[str, object]:
    """Read KEY=VALUE; the value is what TOML takes it for, or else the text itself.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    key, equals, value = word.partition("=")
    if not equals or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"{word!r}: write KEY=VALUE, such as hide=people")
    try:
        told = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return key, value
    return key, told["value"] if set(told) == {"value"} else value
