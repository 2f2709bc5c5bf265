"""The conversion of NanoDet: same bytes everywhere, right outputs, and a self-test that notices."""

from pathlib import Path

import numpy as np
import pytest

from firmware.config.model import ModelCache
from firmware.errors import SelfTestFailed
from firmware.provision import selftest
from firmware.provision.nanodet import convert
from firmware.provision.tfjs import read_graph
from tests.provision.converted import (
    agrees_with_the_reference,
    fails_where_a_weight_is_altered,
    gives_the_stated_bytes,
    is_sound_and_passes_its_self_test,
    made_from,
)

pytestmark = pytest.mark.models


@pytest.fixture
def published(model_cache: ModelCache) -> tuple[bytes, bytes]:
    graph, weights = made_from(model_cache, "nanodet-g")[3]
    return graph, weights


def test_conversion_gives_the_stated_bytes(model_cache: ModelCache) -> None:
    gives_the_stated_bytes(model_cache, "nanodet-g")


def test_converted_file_is_sound_and_passes_its_self_test(model_cache: ModelCache) -> None:
    is_sound_and_passes_its_self_test(model_cache, "nanodet-g")


def test_self_test_notices_an_altered_weight(model_cache: ModelCache, tmp_path: Path) -> None:
    _, _, source, (graph, weights) = made_from(model_cache, "nanodet-g")
    fails_where_a_weight_is_altered(convert(graph, weights), source, tmp_path)


def test_self_test_fails_on_outputs_that_are_no_numbers(model_cache: ModelCache) -> None:
    _, artefact, source, _ = made_from(model_cache, "nanodet-g")
    nothing = {
        f"{kind}_{stride}": np.full((1, 9, 9), np.nan, np.float32)
        for kind in ("scores", "boxes")
        for stride in (8, 16, 32)
    }
    with pytest.raises(SelfTestFailed):
        selftest.check(lambda *_: nothing, Path(artefact.file), selftest.waves(64, 64), source.self_test)


def test_runtime_agrees_with_the_reference_evaluator(published: tuple[bytes, bytes], tmp_path: Path) -> None:
    agrees_with_the_reference(convert(*published), {"input": selftest.waves(96, 64)}, tmp_path)


def test_short_weights_are_refused(published: tuple[bytes, bytes]) -> None:
    topology, weights = published
    with pytest.raises(ValueError, match="ends at byte"):
        read_graph(topology, weights[:-1000])
