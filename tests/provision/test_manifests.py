"""The shipped manifests, and files that only look like manifests."""

import contextlib
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.config.model import ConvertedSource, load_chains, load_manifest, load_manifests
from firmware.core.frames import Kind
from firmware.errors import ConfigError
from firmware.resources import models_dir


def test_chains_name_manifests_that_find_what_they_should() -> None:
    manifests = load_manifests()
    chains = load_chains()
    assert [chain.name for chain in chains] == ["upstream", "registry", "coral"]
    for chain in chains:
        assert all(Kind.FACE in manifests[name].finds for name in chain.faces)
        assert all(Kind.PERSON in manifests[name].finds for name in chain.people)
        assert all(manifests[name].finds for name in chain.thorough)


def test_every_detector_can_run_live() -> None:
    for manifest in load_manifests().values():
        if manifest.finds:
            assert manifest.realtime is not None
            size = (manifest.realtime.width, manifest.realtime.height)
            runnable = [a for a in manifest.artefacts.values() if a.runtime]
            assert any((a.width, a.height) in {(None, None), size} for a in runnable)


def test_conversions_name_their_inputs_and_take_any_size() -> None:
    for manifest in load_manifests().values():
        for artefact in manifest.artefacts.values():
            if isinstance(artefact.source, ConvertedSource):
                assert set(artefact.source.inputs) <= set(manifest.artefacts)
                assert (artefact.width, artefact.height) == (None, None)


def test_upstream_addresses_are_pinned_by_commit() -> None:
    for path in models_dir().glob("*.toml"):
        for url in re.findall(r'url = "([^"]+)"', path.read_text()):
            assert re.search(r"/[0-9a-f]{40}/", url), url


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("bytes = 322906", "bytes = -1"), "bytes"),
        (('name = "yunet"', 'name = "other"'), "name is 'other'"),
        (('licence = "Apache-2.0"', 'license = "Apache-2.0"'), "licen"),
        (('url = "https:', 'url = "http:'), "url"),
        (("sha256 = ", "sha256 == "), "not valid TOML"),
    ],
)
def test_a_wrong_manifest_names_file_and_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = (models_dir() / "yunet.toml").read_text()
    assert change[0] in text
    path = tmp_path / "yunet.toml"
    path.write_text(text.replace(*change))
    with pytest.raises(ConfigError, match=message) as caught:
        load_manifest(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_manifests_are_refused_or_read(data: st.DataObject) -> None:
    text = (models_dir() / data.draw(st.sampled_from(["yunet.toml", "nanodet-g.toml"]))).read_bytes()
    start = data.draw(st.integers(0, len(text)))
    damaged = text[:start] + data.draw(st.binary(max_size=20)) + text[start + data.draw(st.integers(0, 40)) :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "yunet.toml"
        path.write_bytes(damaged)
        with contextlib.suppress(ConfigError):
            assert load_manifest(path).name == "yunet"
