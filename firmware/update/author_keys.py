"""The authors' keys of one repository, each in a file (`root-1.pem`) or in a token (`root-1.p11` names it).

There is never a choice between the two: a name that has both is refused, so that a token that does not answer
is an error and no reason to sign with something else.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from securesystemslib.signer import Signer

from firmware.errors import ConfigError
from firmware.update.token_file import SUFFIX as TOKEN
from firmware.update.token_file import Place, read_token_key, write_token_key
from ota.keys import SUFFIX as FILE
from ota.keys import KeyFiles, KeyMissing, read_key

if TYPE_CHECKING:
    from firmware.update.token import Tokens


class AuthorKeys:
    """Keys in one folder's files and in the tokens that its files name; made in `place`, else in files."""

    def __init__(self, folder: Path, pin: Callable[[str], str], place: Place | None = None) -> None:
        """`pin` is given a token's label and returns its PIN; it is asked when one is needed, once."""
        self._folder = folder
        self._files = KeyFiles(folder)
        self._pin = pin
        self._place = place
        self._opened: Tokens | None = None

    def names(self, role: str) -> Sequence[str]:
        """Return the names of a role's keys."""
        return sorted(
            {path.stem for suffix in (FILE, TOKEN) for path in self._folder.glob(f"{role}-*{suffix}")}
        )

    def signer(self, name: str) -> Signer:
        """Return the signer of a key.

        Raises:
            KeyMissing: there is none of that name.
            ConfigError: its file cannot be read, or there are two.
        """
        found = [path for suffix in (FILE, TOKEN) if (path := self._folder / f"{name}{suffix}").exists()]
        if not found:
            raise KeyMissing(f"no key {name} is here; put its file back")
        if len(found) > 1:
            raise ConfigError(
                f"{found[0]} and {found[1].name}: two keys of one name; take the wrong one away"
            )
        return self.read(found[0])

    def read(self, path: Path) -> Signer:
        """Return the signer of a key's file, wherever that lies; raises ConfigError."""
        try:
            return self._tokens().signer(read_token_key(path)) if path.suffix == TOKEN else read_key(path)
        except OSError as exc:
            raise ConfigError(f"{path}: {exc.strerror}; name a key's file") from exc
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise ConfigError(f"{path}: is no key that signs: {exc}; put the right file there") from exc

    def make(self, name: str) -> Signer:
        """Make a key in a file, or in the token that new keys are for.

        Raises:
            KeyUnavailable: the token is not there, is locked, or does not make one.
        """
        if self._place is None:
            return self._files.make(name)
        # Who looks into the token sees whose key it is.
        label = f"{self._folder.resolve().parent.name}/{name}"
        made = self._tokens().make(self._place, label)
        write_token_key(self._folder / f"{name}{TOKEN}", made)
        return self._tokens().signer(made)

    def open_place(self) -> None:
        """Log in where new keys are to be made, before anything else is; raises KeyUnavailable."""
        if self._place is not None:
            self._tokens().log_in(self._place.module, self._place.token)

    def close(self) -> None:
        """Log out of every token."""
        if self._opened is not None:
            self._opened.close()

    def _tokens(self) -> "Tokens":
        if self._opened is None:
            from firmware.update.token import Tokens  # noqa: PLC0415  only authors with tokens have pkcs11

            self._opened = Tokens(self._pin)
        return self._opened
