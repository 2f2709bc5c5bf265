"""What is shown of an address: never a user, a password or a token."""

import pytest

from firmware.core.address import shown


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rtsp://192.0.2.7:554/stream", "rtsp://192.0.2.7:554"),
        ("rtsp://admin:secret@192.0.2.7/stream", "rtsp://192.0.2.7"),
        ("rtsp://192.0.2.7/user=admin&password=secret", "rtsp://192.0.2.7"),
        ("rtsp://admin:se/cr#et?@192.0.2.7/stream", "rtsp://192.0.2.7"),
        ("rtsp://admin:se@cret@192.0.2.7", "rtsp://192.0.2.7"),
        ("https://[2001:db8::7]:8443/token/simple?key=secret#secret", "https://[2001:db8::7]:8443"),
        ("https://example.org?secret", "https://example.org"),
        ("https://example.org#secret", "https://example.org"),
        ("secret", "an address without a scheme"),
    ],
)
def test_scheme_host_and_port_alone_are_shown(url: str, told: str) -> None:
    assert shown(url) == told
