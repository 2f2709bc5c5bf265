"""Run by a real Home Assistant's interpreter: reads announcements and payloads as its MQTT integration does.

Reads JSON from standard input: `configs` (topic to announcement) and `payloads` (topic to payloads).
Prints for every announcement what its entity would show for each payload of its topic.
"""

import asyncio
import json
import re
import sys

from homeassistant.components.mqtt import binary_sensor, sensor
from homeassistant.components.mqtt.discovery import MQTT_ORIGIN_INFO_SCHEMA, TOPIC_MATCHER
from homeassistant.core import HomeAssistant
from homeassistant.helpers.template import Template

SCHEMAS = {
    "sensor": sensor.DISCOVERY_SCHEMA,
    "binary_sensor": binary_sensor.DISCOVERY_SCHEMA,
}


async def main() -> None:
    told, shown = json.load(sys.stdin), {}
    hass = HomeAssistant("/nonexistent")
    for topic, config in told["configs"].items():
        found = re.match(TOPIC_MATCHER, topic.removeprefix("homeassistant/"))
        MQTT_ORIGIN_INFO_SCHEMA(config.pop("origin"))
        checked = SCHEMAS[found.group("component")](config)
        assert set(config) <= set(checked), set(config) - set(checked)
        template = checked.get("value_template")
        payloads = told["payloads"][checked["state_topic"]]
        shown[found.group("object_id")] = [
            payload
            if template is None
            else Template(template.template, hass).async_render_with_possible_json_value(payload)
            for payload in payloads
        ]
    sys.stdout.write(json.dumps(shown) + "\n")


asyncio.run(main())
