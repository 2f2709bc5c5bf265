"""Passkeys (WebAuthn level 2): log-in by a key that never leaves somebody's phone or token.

A passkey belongs to the host name that it was made under; browsers make none for an IP address. What checks
them is the `webauthn` package; here are the challenges, of which each is good once and for five minutes.
"""

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from firmware.access.people import Passkey, People, Person
from firmware.core.strict_json import NotStrict, read_json
from firmware.ports import Clock

GOOD_FOR_S = 300.0
MOST_CHALLENGES = 1024
MOST_EACH = 8
LONGEST_NAME = 60
LONGEST = 16 * 1024


class PasskeyRefused(ValueError):
    """A passkey's answer is not right."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a browser is: the camera's host name and the page's origin."""

    host: str
    origin: str


class Challenges:
    """What browsers were asked to sign, and for whom; the oldest is forgotten over a bound."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def ask(self, whom: str) -> bytes:
        """Return a new challenge."""
        challenge = secrets.token_bytes(32)
        self._asked[bytes_to_base64url(challenge)] = (self._clock.monotonic_ns() / 1e9, whom)
        if len(self._asked) > MOST_CHALLENGES:
            self._asked.popitem(last=False)
        return challenge

    def take(self, credential: Mapping[str, object], whom: str) -> bytes:
        """Return the challenge that an answer is for, and take it; raises PasskeyRefused."""
        try:
            name = str(read_json(_client_data(credential), LONGEST)["challenge"])
        except (KeyError, ValueError) as exc:
            raise PasskeyRefused("not a passkey's answer") from exc
        asked_s, asked_whom = self._asked.pop(name, (0.0, None))
        if asked_whom != whom or self._clock.monotonic_ns() / 1e9 - asked_s > GOOD_FOR_S:
            raise PasskeyRefused("the challenge is over; try again")
        return base64url_to_bytes(name)


class Passkeys:
    """Registers passkeys and logs in by them."""

    def __init__(self, people: People, clock: Clock) -> None:
        self._people = people
        self._challenges = Challenges(clock)

    def registration(self, person: Person, place: Place) -> str:
        """Return what a browser needs to make a passkey, JSON."""
        if len(person.passkeys) >= MOST_EACH:
            raise PasskeyRefused(f"you have {MOST_EACH} passkeys, the most that an account has")
        known = [PublicKeyCredentialDescriptor(id=base64url_to_bytes(key.id)) for key in person.passkeys]
        options = generate_registration_options(
            rp_id=place.host,
            rp_name="Veilcam",
            user_name=person.name,
            user_id=person.name.encode(),
            challenge=self._challenges.ask(person.name),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=known,
        )
        return options_to_json(options)

    def registered(self, person: Person, place: Place, name: str, told: Mapping[str, object]) -> Passkey:
        """Check a browser's answer and keep the passkey; raises PasskeyRefused."""
        challenge = self._challenges.take(told, person.name)
        try:
            found = verify_registration_response(
                credential=dict(told),
                expected_challenge=challenge,
                expected_rp_id=place.host,
                expected_origin=place.origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, TypeError, KeyError) as exc:
            raise PasskeyRefused("the passkey's answer does not fit") from exc
        key = Passkey(
            id=bytes_to_base64url(found.credential_id),
            key=bytes_to_base64url(found.credential_public_key),
            host=place.host,
            uses=found.sign_count,
            name=name[:LONGEST_NAME] or "passkey",
        )
        if self._people.with_passkey(key.id) is not None:
            raise PasskeyRefused("that passkey is known")
        self._people.change(person.name, lambda now: {"passkeys": (*now.passkeys, key)})
        return key

    def log_in(self, place: Place) -> str:
        """Return what a browser needs to log in by any passkey of this place, JSON."""
        options = generate_authentication_options(
            rp_id=place.host,
            challenge=self._challenges.ask(""),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json(options)

    def logged_in(self, place: Place, told: Mapping[str, object]) -> Person:
        """Check a browser's answer, and return who that is; raises PasskeyRefused."""
        challenge = self._challenges.take(told, "")
        person = self._people.with_passkey(str(told.get("id")))
        key = None if person is None else next(one for one in person.passkeys if one.id == told.get("id"))
        if person is None or key is None:
            raise PasskeyRefused("nobody here has that passkey")
        try:
            found = verify_authentication_response(
                credential=dict(told),
                expected_challenge=challenge,
                expected_rp_id=place.host,
                expected_origin=place.origin,
                credential_public_key=base64url_to_bytes(key.key),
                # A counter that goes back is a copy of the key; those that have none say 0 for ever.
                credential_current_sign_count=key.uses,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, TypeError, KeyError) as exc:
            raise PasskeyRefused("the passkey's answer does not fit") from exc
        uses = found.new_sign_count
        self._people.change(person.name, lambda now: {"passkeys": _counted(now, key.id, uses)})
        return person


def _counted(person: Person, name: str, uses: int) -> tuple[Passkey, ...]:
    return tuple(key.model_copy(update={"uses": uses}) if key.id == name else key for key in person.passkeys)


def _client_data(credential: Mapping[str, object]) -> bytes:
    response = credential.get("response")
    told = response.get("clientDataJSON") if isinstance(response, dict) else None
    if not isinstance(told, str):
        raise NotStrict("no clientDataJSON")
    return base64url_to_bytes(told)
