"""Who is behind a reverse proxy: nobody, unless the proxy is trusted."""

import pytest

from tests.stream.peer import viewer
from tests.stream.rig import options_of, rig
from tests.stream.test_http import ask, assert_problem

TRUSTING = options_of(ice_addresses="all", trusted_proxies=("127.0.0.1", "192.0.2.254"))


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_what_somebody_forwarded_is_not_from_this_machine(header: str) -> None:
    async with rig(options_of(ice_addresses="all")) as r, viewer() as v:
        assert (await ask(r, "GET", "/metrics"))[0] == 200
        assert_problem(await ask(r, "GET", "/metrics", headers={header: "127.0.0.1"}), 403)
        code, _, answer = await r.post(await v.offer(), **{header: "127.0.0.1"})
        # Where the machine has no other address there is none to offer.
        assert code == 503 or " 127.0.0.1 " not in answer


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ("198.51.100.7", 403),
        ("127.0.0.9, 198.51.100.7", 403),
        ("198.51.100.7, 192.0.2.254", 403),
        ("127.0.0.9", 200),
        ("127.0.0.9, 192.0.2.254", 200),
        ("unknown", 400),
        ("127.0.0.1:80", 400),
        ("", 200),
        (", ".join(["198.51.100.7"] * 17), 400),
        ("1" * 600, 400),
    ],
)
async def test_a_trusted_proxy_says_for_whom_it_asks(stated: str, code: int) -> None:
    async with rig(TRUSTING) as r:
        found = await ask(r, "GET", "/metrics", headers={"X-Forwarded-For": stated})
        assert found[0] == code, found


async def test_quotas_are_those_of_whom_the_proxy_asks_for() -> None:
    async with rig(options_of(ice_addresses="loopback", trusted_proxies=("127.0.0.1",))) as r, viewer() as v:
        offer = await v.offer()
        one = [(await r.post(offer, X_Forwarded_For="198.51.100.1"))[0] for _ in range(5)]
        other = (await r.post(offer, X_Forwarded_For="198.51.100.2"))[0]
        assert (one, other) == ([201] * 4 + [503], 201)


async def test_a_trusted_proxy_that_does_not_say_for_whom_asks_for_nobody_here() -> None:
    async with rig(TRUSTING) as r:
        assert_problem(await ask(r, "GET", "/metrics", headers={"Forwarded": "for=198.51.100.7"}), 403)
