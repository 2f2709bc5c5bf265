"""Home Assistant's MQTT discovery: what it needs to show a camera, retained under its own prefix.

One message an entity, `homeassistant/<component>/<device>/<object>/config`, as its documentation of MQTT
discovery, sensors and binary sensors has it. All of them read what the camera tells anyway (`remote.events`);
nothing is told for Home Assistant alone. A count that is withheld is shown as unknown.

What is not announced any more is taken back with an empty message; what was changed while the camera was off
stays until somebody deletes it there.
"""

import json
from collections.abc import Callable, Mapping, Sequence

from firmware.config.settings import Settings
from firmware.remote.broker import OFFLINE, ONLINE, Broker
from firmware.remote.events import WINDOW_S
from firmware.remote.topics import STATE, STATUS, TELEMETRY, below

PREFIX = "homeassistant"
STALE_S = round(3 * WINDOW_S)
"""Seconds after which a count that was not told anew is unknown."""


def discovery(device: str, zones: Sequence[str]) -> dict[str, bytes]:
    """Return the message of every entity of a camera, by its whole topic."""
    told: dict[tuple[str, str], Mapping[str, object]] = {
        ("binary_sensor", "status"): {
            "name": "Status",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": below(device, STATUS),
            "payload_on": ONLINE.decode(),
            "payload_off": OFFLINE.decode(),
        },
        ("sensor", "verdict"): {
            "name": "Picture",
            "icon": "mdi:incognito",
            **_of_state(device, "{{ value_json.verdict }}"),
        },
        ("binary_sensor", "tampered"): {
            "name": "Tampered",
            "device_class": "tamper",
            **_of_state(device, "{{ 'OFF' if value_json.tampered == 'none' else 'ON' }}"),
        },
        ("binary_sensor", "raw"): {
            "name": "Raw picture is seen",
            "icon": "mdi:eye",
            **_of_state(device, "{{ 'ON' if value_json.raw == 'began' else 'OFF' }}"),
        },
    }
    told |= {("sensor", f"people_{zone}"): _people(device, zone) for zone in zones}
    return {
        f"{PREFIX}/{component}/{device}/{name}/config": _message(device, name, content)
        for (component, name), content in told.items()
    }


def announce(broker: Broker, settings: Settings) -> Callable[[Settings], None]:
    """Announce a camera as the settings have it; returns what is to be told of their changes."""
    before: dict[str, bytes] = {}

    def follow(told: Settings) -> None:
        nonlocal before
        zones = [zone.name for zone in told.zones]
        now = discovery(broker.device, zones) if told.home_assistant else {}
        for topic in before.keys() - now.keys():
            broker.keep_at(topic, b"")
        for topic, payload in now.items():
            broker.keep_at(topic, payload)
        before = now

    follow(settings)
    return follow


def _of_state(device: str, template: str) -> dict[str, object]:
    return {"state_topic": below(device, STATE), "value_template": template, **_available(device)}


def _people(device: str, zone: str) -> dict[str, object]:
    return {
        "name": f"People, {zone}",
        "icon": "mdi:account-group",
        "state_class": "measurement",
        "unit_of_measurement": "people",
        "state_topic": below(device, TELEMETRY),
        # In brackets: a zone may have the name of something that every mapping has.
        "value_template": f"{{{{ value_json['zones']['{zone}']['people']['count'] }}}}",
        "expire_after": STALE_S,
        **_available(device),
    }


def _available(device: str) -> dict[str, object]:
    return {
        "availability_topic": below(device, STATUS),
        "payload_available": ONLINE.decode(),
        "payload_not_available": OFFLINE.decode(),
    }


def _message(device: str, name: str, content: Mapping[str, object]) -> bytes:
    about = {
        "identifiers": [f"veilcam_{device}"],
        "name": f"Veilcam {device}",
        "manufacturer": "Veilcam",
        "model": "Privacy camera",
    }
    told = {"unique_id": f"veilcam_{device}_{name}", "qos": 1, "device": about, "origin": {"name": "Veilcam"}}
    return json.dumps({**content, **told}, separators=(",", ":")).encode()
