"""How a machine's registries are found."""

import socket
import sys
import time
from pathlib import Path

import pytest

from firmware.errors import NetworkUnavailable
from firmware.provision import package_index as registry
from firmware.provision.package_index import PythonIndex, npm_registry, pip_settings, registry_in_npm
from firmware.provision.web import Web, with_credentials_of


def test_pip_configuration_file_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = http://127.0.0.1:1/from-file\ncert = /some/cert.pem\n")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_CERT", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert PythonIndex(Web(), pip_settings).base == "http://127.0.0.1:1/from-file/"
    assert Path("/some/cert.pem") in registry.extra_certificates(pip_settings)


def test_pip_itself_knows_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert PythonIndex(Web(), dict).base.startswith("https://")


def test_without_pip_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(NetworkUnavailable, match="set PIP_INDEX_URL"):
        _ = PythonIndex(Web(), dict).base


def test_npmrc_is_read_where_no_npm_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".npmrc").write_text("fund=false\nregistry = http://127.0.0.1:1/npm\n")
    assert npm_registry() == "http://127.0.0.1:1/npm"


def test_npm_table_of_settings_names_a_registry() -> None:
    table = b"registry: new Definition('registry', {\n    default: 'https://npm.example.invalid/',\n"
    assert registry_in_npm(table) == "https://npm.example.invalid/"
    with pytest.raises(NetworkUnavailable):
        registry_in_npm(b"nothing of the kind")


def test_credentials_stay_with_their_host() -> None:
    base = "https://u:p@one.invalid/simple/"
    assert with_credentials_of(base, "https://one.invalid/f") == "https://u:p@one.invalid/f"
    assert with_credentials_of(base, "https://two.invalid/f") == "https://two.invalid/f"
    assert with_credentials_of(base, "http://one.invalid/f") == "http://one.invalid/f"


def test_other_schemes_are_refused() -> None:
    with pytest.raises(NetworkUnavailable, match="not an http"), Web().open("file:///etc/passwd"):
        pass


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(NetworkUnavailable, match="no answer in time"), Web(connect_s=0.3).open(url):
            pass
        assert time.monotonic() - began < 3
