"""The people who have an account on this camera: names, roles, and what they log in with.

One file, `people/people.json`, for the camera alone. Passwords are argon2id hashes. A name without an account
takes as long to refuse as one with it.
"""

import hmac
import re
import secrets
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import Field, TypeAdapter, ValidationError

from firmware.access.roles import DELICATE, ROLES, Right
from firmware.config.strict import Strict, explain
from firmware.errors import ConfigError
from firmware.ports import Clock
from firmware.state import written

FOLDER, FILE = "people", "people.json"
MOST_PEOPLE = 256
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 128

HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
"""19 MiB and two passes, the least of OWASP's password storage recommendations for argon2id: a board has one
gigabyte, and looks for people meanwhile."""

STEP_S = 30
DRIFT = 1
"""Steps of RFC 6238 by which a code may be early or late."""


class NotAllowed(ValueError):
    """A name, a password or a role that nobody can have; the text says why."""


class Passkey(Strict):
    """A public key credential (WebAuthn): ids and keys in base64url, for the host name it was made under."""

    id: str
    key: str
    host: str
    uses: int = 0
    name: str = ""


class Person(Strict):
    """One account; `seen_s` is when they last logged in, in seconds since 1970."""

    name: str
    roles: tuple[str, ...]
    password: str = Field(repr=False)
    totp: str | None = Field(default=None, repr=False)
    totp_step: int = 0
    """Newest step of which a code was used: none is used twice."""
    passkeys: tuple[Passkey, ...] = ()
    seen_s: int | None = None

    @property
    def rights(self) -> frozenset[Right]:
        """Everything that their roles allow."""
        return frozenset[Right]().union(*(ROLES.get(role, frozenset()) for role in self.roles))

    @property
    def has_second(self) -> bool:
        """Whether they have a second factor."""
        return self.totp is not None or bool(self.passkeys)

    @property
    def is_delicate(self) -> bool:
        """Whether one of their roles needs a second factor."""
        return bool(self.rights & DELICATE)


_READ = TypeAdapter(tuple[Person, ...])


class People:
    """The accounts of one state folder; its methods wait for the disk, and for argon2."""

    def __init__(self, state: Path, clock: Clock) -> None:
        """Open the accounts; raises ConfigError where they cannot be read."""
        self._path = state / FOLDER / FILE
        self._clock = clock
        self._lock = threading.Lock()
        self._people = self._read()
        # Checked against where there is no such account, so that it takes as long.
        self._nobody = HASHER.hash(secrets.token_urlsafe())

    def find(self, name: str) -> Person | None:
        """Return the account of a name."""
        return self._people.get(name)

    def all(self) -> list[Person]:
        """Return every account, by name."""
        return sorted(self._people.values(), key=lambda person: person.name)

    def with_passkey(self, credential: str) -> Person | None:
        """Return whose passkey that is."""
        held = (p for p in self._people.values() if any(key.id == credential for key in p.passkeys))
        return next(held, None)

    def put(self, person: Person) -> None:
        """Write an account, new or changed; raises NotAllowed, OutputError."""
        if not NAME.fullmatch(person.name):
            raise NotAllowed("a name has small letters, digits, dots and hyphens, 32 at most")
        unknown = set(person.roles) - ROLES.keys()
        if unknown or not person.roles:
            raise NotAllowed(f"a role is one of {', '.join(ROLES)}, and everybody has one")
        with self._lock:
            people = {**self._people, person.name: person}
            if len(people) > MOST_PEOPLE:
                raise NotAllowed(f"there are {MOST_PEOPLE} accounts, the most that a camera has")
            self._write(people)

    def change(self, name: str, how: Callable[[Person], Mapping[str, object]]) -> Person | None:
        """Change some fields of an account, and return it; None where there is none."""
        with self._lock:
            person = self._people.get(name)
            if person is None:
                return None
            changed = person.model_copy(update=dict(how(person)))
            self._write({**self._people, name: changed})
            return changed

    def remove(self, name: str) -> bool:
        """Remove an account; returns False where there is none."""
        with self._lock:
            people = {key: person for key, person in self._people.items() if key != name}
            if len(people) == len(self._people):
                return False
            self._write(people)
            return True

    def fits_password(self, name: str, password: str) -> bool:
        """Say whether that is the password of that account; takes as long where there is none."""
        person = self._people.get(name)
        try:
            HASHER.verify(self._nobody if person is None else person.password, meant(password))
        except (VerificationError, InvalidHashError):
            return False
        return person is not None

    def takes_code(self, name: str, code: str) -> bool:
        """Say whether a code (RFC 6238) is the account's of now, and never take it again."""
        taken: list[int] = []

        def take(person: Person) -> dict[str, object]:
            step = None if person.totp is None else _step_of(person.totp, code, self._clock.wall_ns())
            if step is not None and step > person.totp_step:
                taken.append(step)
                return {"totp_step": step}
            return {}

        self.change(name, take)
        return bool(taken)

    def note_seen(self, name: str) -> None:
        """Note that somebody has logged in."""
        now_s = self._clock.wall_ns() // 1_000_000_000
        self.change(name, lambda person: {"seen_s": now_s})

    def _read(self) -> dict[str, Person]:
        try:
            return {person.name: person for person in _READ.validate_json(self._path.read_bytes())}
        except FileNotFoundError:
            return {}
        except ValidationError as exc:
            raise explain(self._path, exc) from exc
        except OSError as exc:
            raise ConfigError(f"{self._path}: cannot be read: {exc.strerror}; mend its permissions") from exc

    def _write(self, people: Mapping[str, Person]) -> None:
        if people == self._people:
            return
        content = _READ.dump_json(tuple(people.values()), indent=1)
        with written(self._path, private=True) as part:
            part.write_bytes(content)
        self._people = dict(people)


def meant(password: str) -> str:
    """Return a password as it is compared: what looks the same is the same (NFKC, NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password)


def hashed(name: str, password: str) -> str:
    """Return the argon2id hash of a new password; raises NotAllowed."""
    if not SHORTEST_PASSWORD <= len(meant(password)) <= LONGEST_PASSWORD:
        raise NotAllowed(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    if name in meant(password).lower() or len(set(password)) < 5:
        raise NotAllowed("the password is too easy: it has the name in it, or few different characters")
    return HASHER.hash(meant(password))


def new_person(name: str, roles: Iterable[str], password: str) -> Person:
    """Return a new account; raises NotAllowed."""
    return Person(name=name, roles=tuple(roles), password=hashed(name, password))


def new_secret() -> str:
    """Return a secret for codes, base 32."""
    return pyotp.random_base32()


def fits_code(secret: str, code: str, wall_ns: int) -> bool:
    """Say whether a code is one of a secret that nobody has yet."""
    return _step_of(secret, code, wall_ns) is not None


def uri_of(secret: str, name: str, device: str) -> str:
    """Return what an authenticator app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=f"Veilcam {device[:8]}")


def _step_of(secret: str, code: str, wall_ns: int) -> int | None:
    now = wall_ns // 1_000_000_000 // STEP_S
    codes = pyotp.TOTP(secret)
    fitting = [
        step
        for step in range(now - DRIFT, now + DRIFT + 1)
        if hmac.compare_digest(codes.generate_otp(max(0, step)).encode(), code.encode())
    ]
    return fitting[-1] if fitting else None
