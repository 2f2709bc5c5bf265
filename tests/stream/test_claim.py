"""The claim over HTTP."""

import asyncio
import json

import pytest

from firmware.access.owner import OwnerKey
from tests.stream.rig import rig
from tests.stream.test_http import ask, assert_problem

KEY = OwnerKey(bytes(range(32)), "at home")
KIND = {"Content-Type": "application/json"}


def body(code: object, key: object = KEY.line(), **more: object) -> str:
    return json.dumps({"code": code, "key": key, "name": "ada", "password": "correct horse"} | more)


async def test_the_code_makes_one_owner() -> None:
    async with rig() as r:
        code = await asyncio.to_thread(r.ownership.first_code)
        wrong = await ask(r, "POST", "/api/v1/claim", data=body("0" * 16), headers=KIND)
        assert_problem(wrong, 403)
        status, _, answer = await ask(r, "POST", "/api/v1/claim", data=body(code), headers=KIND)
        assert (status, json.loads(answer)) == (201, {"owner": KEY.fingerprint, "name": "ada"})
        assert r.ownership.owner == KEY
        assert_problem(await ask(r, "POST", "/api/v1/claim", data=body(code), headers=KIND), 409)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 10_000,
        body(5),
        body("0" * 257),
        body("0" * 16, more=""),
        json.dumps({"code": "", "key": KEY.line()}),
    ],
    ids=range(8),
)
async def test_what_is_no_claim_is_told(text: str) -> None:
    async with rig() as r:
        assert_problem(await ask(r, "POST", "/api/v1/claim", data=text, headers=KIND), 400)
        assert r.ownership.owner is None


@pytest.mark.parametrize(
    "more",
    [
        {"key": "ssh-ed25519 AAAA"},
        {"key": "veilcam-owner ed25519 AAAA"},
        {"name": "No Name"},
        {"password": "short"},
        {"password": "ada ada ada ada"},
    ],
)
async def test_what_nobody_can_own_a_camera_with_is_told(more: dict[str, object]) -> None:
    async with rig() as r:
        code = await asyncio.to_thread(r.ownership.first_code)
        assert_problem(await ask(r, "POST", "/api/v1/claim", data=body(code, **more), headers=KIND), 422)
        assert r.ownership.owner is None
        assert r.desk.people.all() == []


async def test_other_pages_cannot_claim() -> None:
    async with rig() as r:
        code = await asyncio.to_thread(r.ownership.first_code)
        foreign = KIND | {"Origin": "https://evil.example"}
        assert_problem(await ask(r, "POST", "/api/v1/claim", data=body(code), headers=foreign), 403)
        form = {"Content-Type": "text/plain"}
        assert_problem(await ask(r, "POST", "/api/v1/claim", data=body(code), headers=form), 415)
        assert r.ownership.owner is None
