"""Log-in, second factors, accounts: over HTTP, as programs and pages do it."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pyotp
import pytest
from multidict import CIMultiDict

from firmware.access.people import new_person
from firmware.audit import lines_of, read_line
from tests.stream.rig import Rig, options_of, rig
from tests.stream.test_http import ask, assert_problem

PASSWORD = "correct horse battery"  # noqa: S105 - a test's
Answer = tuple[int, CIMultiDict[str], str]


async def send(
    r: Rig, method: str, path: str, body: object = None, token: str = "", **headers: str
) -> Answer:
    """Send JSON, as whoever holds the token."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        told["Authorization"] = f"Bearer {token}"
    if body is not None:
        told["Content-Type"] = "application/json"
    return await ask(r, method, path, data=None if body is None else json.dumps(body), headers=told)


@dataclass
class Account:
    """Somebody who can log in."""

    name: str
    secret: str | None = None
    token: str = ""

    def code(self, ahead: int = 0) -> str:
        assert self.secret is not None
        return pyotp.TOTP(self.secret).at(int(time.time()) + 30 * ahead)


async def add(r: Rig, name: str, *roles: str) -> Account:
    person = await asyncio.to_thread(new_person, name, roles, PASSWORD)
    await asyncio.to_thread(r.desk.people.put, person)
    return Account(name)


async def log_in(r: Rig, account: Account, ahead: int = 0) -> str:
    body = {"name": account.name, "password": PASSWORD}
    if account.secret:
        body["code"] = account.code(ahead)
    status, _, text = await send(r, "POST", "/api/v1/session", body)
    assert status == 201, text
    account.token = json.loads(text)["token"]
    return account.token


async def enrol(r: Rig, account: Account) -> None:
    """Set an authenticator app up; the session is strong from then on."""
    await log_in(r, account)
    status, _, text = await send(r, "POST", "/api/v1/me/totp", token=account.token)
    assert status == 200, text
    account.secret = json.loads(text)["secret"]
    done = await send(r, "PUT", "/api/v1/me/totp", {"code": account.code(-1)}, account.token)
    assert done[0] == 204, done


async def strong(r: Rig, name: str, *roles: str) -> Account:
    account = await add(r, name, *roles)
    await enrol(r, account)
    return account


async def me(r: Rig, token: str) -> dict[str, object]:
    status, _, text = await send(r, "GET", "/api/v1/session", token=token)
    return dict(json.loads(text)) if status == 200 else {}


async def acts(r: Rig) -> list[tuple[str, str, dict[str, object]]]:
    lines = await asyncio.to_thread(lambda: list(lines_of(r.desk.audit.path)))
    entries = [read_line(line)[0] for line in lines]
    return [(entry.what, entry.who, dict(entry.about)) for entry in entries]


@asynccontextmanager
async def owned() -> AsyncIterator[tuple[Rig, Account]]:
    """A camera with an owner who is logged in with both factors."""
    async with rig() as r:
        yield r, await strong(r, "ada", "owner")


async def test_a_delicate_role_may_do_nothing_delicate_before_its_second_factor() -> None:
    async with rig() as r:
        ada = await add(r, "ada", "owner")
        await log_in(r, ada)
        told = await me(r, ada.token)
        assert told["needs_second_factor"] is True
        assert "users" not in list(told["rights"])  # type: ignore[call-overload]
        assert_problem(await send(r, "POST", "/api/v1/users", {"name": "bob"}, ada.token), 403)
        await enrol(r, ada)
        assert "users" in list((await me(r, ada.token))["rights"])  # type: ignore[call-overload]


async def test_a_code_is_asked_for_and_none_is_good_twice() -> None:
    async with owned() as (r, ada):
        missing = await send(r, "POST", "/api/v1/session", {"name": "ada", "password": PASSWORD})
        assert_problem(missing, 401)
        assert "authenticator app" in missing[2]
        wrong = {"name": "ada", "password": PASSWORD, "code": "000000"}
        assert_problem(await send(r, "POST", "/api/v1/session", wrong), 401)
        await log_in(r, ada)
        again = {"name": "ada", "password": PASSWORD, "code": ada.code()}
        assert_problem(await send(r, "POST", "/api/v1/session", again), 401)
        assert (await me(r, ada.token))["second_factor"] is True


async def test_log_out_ends_it_and_the_token_is_nothing() -> None:
    async with owned() as (r, ada):
        assert (await send(r, "DELETE", "/api/v1/session", token=ada.token))[0] == 204
        assert_problem(await send(r, "GET", "/api/v1/session", token=ada.token), 401)
        what = [(act, who) for act, who, _ in await acts(r)]
        assert ("session.begun", "ada") in what
        assert ("session.ended", "ada") in what


async def test_accounts_are_made_changed_and_removed_and_it_is_all_recorded() -> None:
    async with owned() as (r, ada):
        status, _, text = await send(
            r, "POST", "/api/v1/users", {"name": "bob", "password": PASSWORD}, ada.token
        )
        assert status == 201
        assert json.loads(text)["roles"] == ["viewer"], "least by default"
        bob = await send(r, "POST", "/api/v1/session", {"name": "bob", "password": PASSWORD})
        assert bob[0] == 201
        token = json.loads(bob[2])["token"]
        assert_problem(await send(r, "GET", "/api/v1/users", token=token), 403)
        changed = await send(r, "PATCH", "/api/v1/users/bob", {"roles": ["auditor"]}, ada.token)
        assert changed[0] == 200
        users = await send(r, "GET", "/api/v1/users", token=token)
        assert [user["name"] for user in json.loads(users[2])["users"]] == ["ada", "bob"]
        assert json.loads(users[2])["users"][1]["seen_s"] > 0
        assert (await send(r, "DELETE", "/api/v1/users/bob", token=ada.token))[0] == 204
        assert_problem(await send(r, "GET", "/api/v1/users", token=token), 401)
        what = {act for act, who, about in await acts(r) if who == "ada" and about.get("user") == "bob"}
        assert what == {"user.added", "user.changed", "user.removed"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "ada", "password": PASSWORD}, 409),
        ({"name": "Bob", "password": PASSWORD}, 422),
        ({"name": "bob"}, 400),
        ({"name": "bob", "password": "short"}, 422),
        ({"name": "bob", "password": "bob" * 6}, 422),
        ({"name": "bob", "password": PASSWORD, "roles": ["king"]}, 422),
        ({"name": "bob", "password": PASSWORD, "roles": []}, 422),
        ({"name": "bob", "roles": "owner"}, 400),
        ({"name": 5, "password": PASSWORD}, 400),
        ({"name": "bob", "password": PASSWORD, "more": "x"}, 400),
    ],
)
async def test_what_is_no_account_is_told(body: object, status: int) -> None:
    async with owned() as (r, ada):
        assert_problem(await send(r, "POST", "/api/v1/users", body, ada.token), status)
        assert len(r.desk.people.all()) == 1


async def test_the_last_owner_stays() -> None:
    async with owned() as (r, ada):
        assert_problem(await send(r, "DELETE", "/api/v1/users/ada", token=ada.token), 409)
        roles = {"roles": ["viewer"]}
        assert_problem(await send(r, "PATCH", "/api/v1/users/ada", roles, ada.token), 409)


async def test_a_password_is_changed_by_the_old_one_and_other_sessions_end() -> None:
    async with owned() as (r, ada):
        first = ada.token
        await log_in(r, ada)
        new = {"old": PASSWORD, "new": "another horse battery"}
        wrong = new | {"old": "something else"}
        assert_problem(await send(r, "PUT", "/api/v1/me/password", wrong, ada.token), 403)
        assert (await send(r, "PUT", "/api/v1/me/password", new, ada.token))[0] == 204
        assert await me(r, ada.token)
        assert not await me(r, first)


async def test_a_cookie_is_for_pages_of_ours_alone() -> None:
    async with owned() as (r, ada):
        body = {"name": "ada", "password": PASSWORD, "code": ada.code(), "cookie": True}
        assert_problem(await send(r, "POST", "/api/v1/session", body), 403)
        status, headers, text = await send(r, "POST", "/api/v1/session", body, Origin=r.url)
        assert status == 201
        assert "token" not in json.loads(text)
        kept = headers["Set-Cookie"]
        assert "HttpOnly" in kept
        assert "SameSite=Strict" in kept
        assert "Domain" not in kept
        cookie = kept.partition(";")[0]
        seen = await send(r, "GET", "/api/v1/session", Cookie=cookie)
        assert seen[0] == 200
        for origin in ("https://evil.example", "null", "http://127.0.0.1", ""):
            more = {"Origin": origin} if origin else {}
            forged = await send(r, "DELETE", "/api/v1/session", Cookie=cookie, **more)
            assert_problem(forged, 403)
        assert (await send(r, "DELETE", "/api/v1/session", Cookie=cookie, Origin=r.url))[0] == 204


async def test_a_session_that_somebody_else_chose_is_none() -> None:
    async with owned() as (r, ada):
        chosen = "veilcam=chosen-by-somebody-else"
        body = {"name": "ada", "password": PASSWORD, "code": ada.code(), "cookie": True}
        _, headers, _ = await send(r, "POST", "/api/v1/session", body, Origin=r.url, Cookie=chosen)
        assert "chosen-by-somebody-else" not in headers["Set-Cookie"]
        assert_problem(await send(r, "GET", "/api/v1/session", Cookie=chosen), 401)


async def test_who_guesses_is_slowed_down_and_nobody_else() -> None:
    async with rig(options_of(trusted_proxies=("127.0.0.1",), ice_addresses="loopback")) as r:
        bob = await add(r, "bob", "viewer")
        wrong = {"name": "bob", "password": "a wrong password"}
        seen = [
            (await send(r, "POST", "/api/v1/session", wrong, X_Forwarded_For="192.0.2.1"))[0]
            for _ in range(7)
        ]
        assert seen == [401] * 5 + [429] * 2
        _, headers, _ = await send(r, "POST", "/api/v1/session", wrong, X_Forwarded_For="192.0.2.1")
        assert 0 < int(headers["Retry-After"]) <= 61
        await log_in(r, bob)
        tried = [about for act, _, about in await acts(r) if act == "denied"]
        assert {about.get("tried") for about in tried} == {"bob", None}
        assert "a wrong password" not in json.dumps(tried)


async def test_a_name_without_an_account_takes_as_long_to_refuse() -> None:
    async with rig(options_of(trusted_proxies=("127.0.0.1",), ice_addresses="loopback")) as r:
        await add(r, "bob", "viewer")
        took: dict[str, list[float]] = {"bob": [], "nobody": []}
        for n in range(30):
            for name, times in took.items():
                begun = time.perf_counter()
                body = {"name": name, "password": "a wrong password"}
                answer = await send(r, "POST", "/api/v1/session", body, X_Forwarded_For=f"198.51.100.{n}")
                times.append(time.perf_counter() - begun)
                assert json.loads(answer[2])["detail"] == "name, password or code are not right"
        known, unknown = (statistics.median(times) for times in took.values())
        assert 0.5 < known / unknown < 2


async def test_where_a_log_in_is_needed_nobody_watches_without() -> None:
    async with rig(options_of(viewing="login", ice_addresses="loopback")) as r:
        assert_problem(await r_post(r), 401)
        assert_problem(await ask(r, "GET", "/api/v1/status"), 401)
        bob = await add(r, "bob", "viewer")
        token = await log_in(r, bob)
        assert (await send(r, "GET", "/api/v1/status", token=token))[0] == 200


async def r_post(r: Rig) -> Answer:
    return await ask(r, "POST", "/whep/redacted", data="v=0", headers={"Content-Type": "application/sdp"})
