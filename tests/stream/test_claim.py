"""The claim over HTTP."""

import asyncio
import json

import pytest

from firmware.access.owner import OwnerKey
from tests.stream.rig import rig
from tests.stream.test_http import ask, assert_problem

KEY = OwnerKey(bytes(range(32)), "at home")
KIND = {"Content-Type": "application/json"}


def body(code: object, key: object = KEY.line()) -> str:
    return json.dumps({"code": code, "key": key})


async def test_the_code_makes_one_owner() -> None:
    async with rig() as r:
        code = await asyncio.to_thread(r.ownership.first_code)
        wrong = await ask(r, "POST", "/api/v1/claim", data=body("0" * 16), headers=KIND)
        assert_problem(wrong, 403)
        status, _, answer = await ask(r, "POST", "/api/v1/claim", data=body(code), headers=KIND)
        assert (status, json.loads(answer)) == (201, {"owner": KEY.fingerprint})
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
        body("0" * 65),
        body("0" * 16, "ssh-ed25519 AAAA"),
        body("0" * 16, "veilcam-owner ed25519 AAAA"),
        json.dumps({"code": "", "key": KEY.line(), "more": ""}),
    ],
    ids=range(9),
)
async def test_what_is_no_claim_is_told(text: str) -> None:
    async with rig() as r:
        assert_problem(await ask(r, "POST", "/api/v1/claim", data=text, headers=KIND), 400)
        assert r.ownership.owner is None


async def test_other_pages_cannot_claim() -> None:
    async with rig() as r:
        code = await asyncio.to_thread(r.ownership.first_code)
        foreign = KIND | {"Origin": "https://evil.example"}
        assert_problem(await ask(r, "POST", "/api/v1/claim", data=body(code), headers=foreign), 403)
        form = {"Content-Type": "text/plain"}
        assert_problem(await ask(r, "POST", "/api/v1/claim", data=body(code), headers=form), 415)
        assert r.ownership.owner is None
