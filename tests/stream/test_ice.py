"""The addresses ICE offers and answers."""

import pytest

from firmware.errors import ConfigError
from firmware.stream.ice import ENVIRONMENT, Reach, read_policy


def test_environment_goes_before_the_setting() -> None:
    assert read_policy("all", {}).reach is Reach.ALL
    assert read_policy("all", {ENVIRONMENT: " Loopback "}).reach is Reach.LOOPBACK
    assert read_policy("loopback", {ENVIRONMENT: "127.0.0.1"}).addresses == ("127.0.0.1",)


@pytest.mark.parametrize(
    "text",
    ["", "none", "localhost", "127.0.0.1,", "127.0.0.1;127.0.0.2", "300.1.1.1", "0.0.0.0", "::", "224.0.0.1"],
)
def test_what_is_no_address_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConfigError, match=ENVIRONMENT) as caught:
        read_policy("all", {ENVIRONMENT: text})
    assert "\n" not in str(caught.value)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"settings: ice_addresses: .* is not an address of this machine"):
        read_policy("192.0.2.1", {})


def test_loopback_offers_and_answers_loopback_alone() -> None:
    plan = read_policy("loopback", {}).plan("127.0.0.1")
    assert plan.choose(["192.0.2.7", "2001:db8::7"]) == ["127.0.0.1"]
    assert plan.admits("127.0.0.1", 5000, ())
    assert plan.admits("127.9.9.9", 5000, ())
    assert plan.admits("::1", 5000, ())
    assert plan.admits("::ffff:127.0.0.1", 5000, ())
    for remote in ("192.0.2.1", "::ffff:192.0.2.1", "fe80::1%eth0", "0.0.0.0", "abcd.local", "localhost", ""):
        assert not plan.admits(remote, 5000, ()), remote


def test_all_adds_loopback_for_a_viewer_on_this_machine_alone() -> None:
    policy = read_policy("all", {})
    here, far = policy.plan("127.0.0.1"), policy.plan("192.0.2.9")
    assert here.choose(["192.0.2.7"]) == ["192.0.2.7", "127.0.0.1"]
    assert far.choose(["192.0.2.7"]) == ["192.0.2.7"]
    assert here.admits("127.0.0.1", 5000, ())
    assert not far.admits("127.0.0.1", 5000, ()), "a far viewer cannot make the camera knock at its own ports"
    assert far.admits("192.0.2.9", 5000, ())
    for remote in ("224.0.0.251", "ff02::fb", "0.0.0.0", "::", "abcd.local", "camera.example"):
        assert not far.admits(remote, 5000, ()), remote


def test_a_list_is_offered_as_it_is() -> None:
    plan = read_policy("127.0.0.1, 127.0.0.2", {}).plan("127.0.0.1")
    assert plan.choose(["192.0.2.7"]) == ["127.0.0.1", "127.0.0.2"]
    assert plan.loopback_only


OWN = ("192.0.2.7", "2001:db8::7")


@pytest.mark.parametrize(
    ("remote", "port", "why"),
    [
        ("192.0.2.7", 5000, "the camera's own address"),
        ("2001:db8::7", 5000, "the camera's own address"),
        ("169.254.3.4", 5000, "link-local"),
        ("fe80::1", 5000, "link-local"),
        ("fe80::1%eth0", 5000, "link-local"),
        ("255.255.255.255", 5000, "broadcast"),
        ("198.51.100.9", 53, "a service"),
        ("198.51.100.9", 0, "no port"),
    ],
)
def test_the_camera_knocks_at_no_door_but_viewers(remote: str, port: int, why: str) -> None:
    plan = read_policy("all", {}).plan("198.51.100.9")
    assert plan.admits("198.51.100.9", 5000, OWN)
    assert not plan.admits(remote, port, OWN), why


def test_who_is_on_the_camera_itself_is_answered_at_its_address() -> None:
    for viewer in ("127.0.0.1", "192.0.2.7"):
        assert read_policy("all", {}).plan(viewer).admits("192.0.2.7", 5000, OWN)
    assert not read_policy("all", {}).plan("forwarded").admits("192.0.2.7", 5000, OWN)
