"""Settings: every key is described and has a rule; a store that a power cut and damage leave whole."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.config.settings import RESTART, Settings, load_settings
from firmware.config.store import FOLDER, LAST, NOW, RevisionMoved, SettingsStore
from firmware.config.weakening import RULES, Weaker, schema, weakened_keys
from firmware.core.strict_json import NotStrict, read_json
from firmware.errors import ConfigError

ZONE: dict[str, object] = {"name": "till", "corners": ((0.1, 0.1), (0.4, 0.1), (0.4, 0.4), (0.1, 0.4))}
LINE: dict[str, object] = {"name": "door", "begin": (0.5, 0.0), "end": (0.5, 1.0)}

KILLS = int(os.environ.get("VEILCAM_KILLS", "8"))


def test_no_key_lacks_a_title_a_description_or_a_rule() -> None:
    assert RULES.keys() == Settings.model_fields.keys()
    assert set(Settings.model_fields) >= RESTART
    for key, described in Settings.model_fields.items():
        assert described.title, key
        assert described.description, key
    told = schema()["properties"]
    assert isinstance(told, dict)
    assert all({"x-weakens", "x-restart", "title", "description"} <= one.keys() for one in told.values())


@pytest.mark.parametrize(
    ("before", "after", "weaker"),
    [
        ({}, {"hide": "faces"}, ["hide"]),
        ({"viewing": "login"}, {}, ["viewing"]),
        ({}, {"raw": "alone", "raw_minutes": 16}, ["raw", "raw_minutes"]),
        ({}, {"raw": "never", "raw_minutes": 1}, []),
        ({}, {"viewing": "login"}, []),
        ({"hide": "faces"}, {}, []),
        ({"hold_frames": 6}, {"hold_frames": 5}, ["hold_frames"]),
        ({"hold_frames": 6}, {"hold_frames": 7}, []),
        ({"origins": ("https://a",)}, {"origins": ("https://a", "https://b")}, ["origins"]),
        ({"origins": ("https://a",)}, {}, []),
        ({}, {"trusted_proxies": ("192.0.2.1",)}, ["trusted_proxies"]),
        ({}, {"audit_syslog": "a:1"}, []),
        ({"audit_syslog": "a:1"}, {"audit_syslog": "b:1"}, ["audit_syslog"]),
        ({"tls_key": "/a"}, {}, ["tls_key"]),
        ({}, {"zones": (ZONE,)}, ["zones"]),
        ({"zones": (ZONE,), "lines": (LINE,)}, {}, []),
        ({"lines": (LINE,)}, {"lines": (LINE | {"end": (0.5, 0.9)},)}, ["lines"]),
        ({"least_count": 3}, {"least_count": 2}, ["least_count"]),
        ({"least_count": 3}, {"least_count": 5, "home_assistant": True}, []),
        ({}, {"max_viewers": 200, "contact": "me", "host_names": ("x",), "ice_addresses": "loopback"}, []),
    ],
)
def test_each_direction_that_weakens_privacy_is_seen(
    before: dict[str, object], after: dict[str, object], weaker: list[str]
) -> None:
    assert weakened_keys(Settings.model_validate(before), Settings.model_validate(after)) == weaker


def test_a_rule_of_values_names_every_value() -> None:
    for key, rule in RULES.items():
        if not isinstance(rule, Weaker):
            assert all(Settings.model_validate({key: value}) for value in rule)


def test_what_is_changed_is_there_at_the_next_start(tmp_path: Path) -> None:
    store = SettingsStore(tmp_path, Settings(contact="first"))
    assert (store.now.revision, store.now.settings.contact) == (1, "first")
    done = store.propose({"contact": "second", "hide": "faces"})
    assert (done.changed, done.weaker) == (["hide", "contact"], ["hide"])
    store.apply(done)
    again = SettingsStore(tmp_path, Settings(contact="first"))
    assert again.now == done.after
    assert again.now.revision == 2
    assert stat.S_IMODE((tmp_path / FOLDER / NOW).stat().st_mode) == 0o600
    with pytest.raises(RevisionMoved):
        store.apply(done)


@pytest.mark.parametrize(
    "patch",
    [{"hide": "nobody"}, {"novel": 1}, {"max_viewers": 0}, {"hold_frames": 3}, {"audit_syslog": "host"}],
)
def test_what_is_not_valid_changes_nothing(patch: dict[str, object], tmp_path: Path) -> None:
    store = SettingsStore(tmp_path)
    with pytest.raises(ConfigError, match=r"^settings: "):
        store.propose(patch)
    assert SettingsStore(tmp_path).now.revision == 1


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ({"zones": [ZONE, ZONE]}, "zones: .*till is there twice; give"),
        ({"zones": [ZONE, ZONE | {"name": "other"}]}, "till and other overlap; move"),
        ({"zones": [ZONE | {"corners": [(0.1, 0.1), (0.12, 0.1), (0.1, 0.12)]}]}, "too small; give"),
        (
            {"zones": [ZONE | {"corners": [(0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)]}]},
            "till (cross|is too)",
        ),
        ({"zones": [ZONE | {"name": "Till 1"}]}, "zones.0.name: "),
        ({"zones": [ZONE | {"corners": [(0.1, 0.1), (1.4, 0.1), (0.4, 0.4)]}]}, "less than or equal to 1"),
        ({"zones": [ZONE | {"name": f"z{n}"} for n in range(9)]}, "at most 8"),
        ({"lines": [LINE | {"end": (0.5, 0.01)}]}, "door is too short; move"),
        ({"least_count": 0}, "least_count: "),
    ],
)
def test_zones_and_lines_that_make_no_sense_are_refused(
    patch: dict[str, object], why: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=why):
        SettingsStore(tmp_path).propose(patch)


def test_zones_and_lines_are_there_at_the_next_start(tmp_path: Path) -> None:
    store = SettingsStore(tmp_path)
    store.apply(store.propose({"zones": [ZONE], "lines": [LINE]}))
    again = SettingsStore(tmp_path).now.settings
    assert (again.zones[0].place().corners[1], again.lines[0].place().end) == ((0.4, 0.1), (0.5, 1.0))


@pytest.mark.parametrize("damage", ["", "{", '{"revision": 9}', "wrong sum", None])
def test_where_the_newest_is_damaged_the_last_good_holds(damage: str | None, tmp_path: Path) -> None:
    store = SettingsStore(tmp_path)
    store.apply(store.propose({"contact": "good"}))
    path = tmp_path / FOLDER / NOW
    if damage is None:
        path.unlink()
    else:
        text = path.read_text().replace("good", "evil") if damage == "wrong sum" else damage
        path.write_text(text)
    mended = SettingsStore(tmp_path).now
    assert mended.settings.contact == "good"
    assert mended.revision == 4, "ahead of every revision that ever was"
    assert SettingsStore(tmp_path).now == mended


def test_where_both_are_damaged_it_says_so_and_starts_with_nothing_else(tmp_path: Path) -> None:
    SettingsStore(tmp_path)
    for name in (NOW, LAST):
        (tmp_path / FOLDER / name).write_text("{")
    with pytest.raises(ConfigError, match="put it back from a copy"):
        SettingsStore(tmp_path)


WRITER = """
import sys
from pathlib import Path
from firmware.config.store import SettingsStore
store = SettingsStore(Path(sys.argv[1]))
print("begun", flush=True)
for n in range(100_000):
    store.apply(store.propose({"contact": f"number {n}"}))
    print(n, flush=True)
"""


@pytest.mark.timeout(60 + 2 * KILLS)
def test_a_killed_writer_leaves_old_or_new(tmp_path: Path) -> None:
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(int.from_bytes(os.urandom(1)) / 1000)
            process.send_signal(signal.SIGKILL)
            said = process.stdout.read().split()
        last = int(said[-1]) if said else -1
        held = SettingsStore(tmp_path).now.settings.contact
        if last >= 0:
            assert held in (f"number {last}", f"number {last + 1}")


def test_a_settings_file_is_read_and_its_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('hide = "faces"\n')
    assert load_settings(path).hide == "faces"
    path.write_text('hides = "faces"\n')
    with pytest.raises(ConfigError, match="unknown key 'hides'"):
        load_settings(path)


@pytest.mark.parametrize(
    "text",
    ["[]", "1", '{"a": 1, "a": 2}', '{"a": NaN}', '{"a":' * 50_000, b"\xff", "{", '{"a": 1}' + " " * 99],
)
def test_json_with_two_meanings_is_none(text: str | bytes) -> None:
    longest = 100 if isinstance(text, str) and text.endswith(" ") else 10**6
    with pytest.raises(NotStrict):
        read_json(text, longest)


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text()))
def test_json_with_one_meaning_is_read(told: dict[str, object]) -> None:
    assert read_json(json.dumps(told), 10**6) == told
