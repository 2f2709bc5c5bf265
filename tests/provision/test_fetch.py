"""Fetching from a real server: what is brought, what is refused, and what is left behind."""

import fcntl
import resource
import threading
from pathlib import Path

import pytest

from firmware.errors import ModelMissing, NetworkUnavailable, OutputError, UsageError, WrongHash
from tests.provision.conftest import BEST, BODY, EYE, FACE, PICTURE, Bench, artefact, manifest, npm, publish
from tests.provision.registry_server import tarball, wheel

ARCHIVES = ["/files/some-faces.whl", "/files/some-pictures.whl", "/tarballs/people.tgz"]


def placed(bench: Bench) -> list[bytes]:
    """Return the contents of all files of models in the cache."""
    return [path.read_bytes() for path in bench.cache.root.glob("sha256/*")]


def left_behind(bench: Bench) -> set[str]:
    """Return what lies in the cache beside the files of models."""
    return {p.name for p in bench.cache.root.rglob("*") if p.is_file() and p.parent.name != "sha256"}


def test_brings_everything_and_says_which_chain_runs(bench: Bench) -> None:
    outcome = bench.fetch()
    assert [bench.content(n) for n in ("yunet-s", "blazeface-back", "nanodet-g", "astronaut")] == [
        FACE,
        EYE,
        BODY,
        PICTURE,
    ]
    assert outcome.chain == "registry"
    assert outcome.lacking == ("best.onnx",)


def test_an_archive_with_two_models_is_downloaded_once_and_deleted(bench: Bench) -> None:
    bench.fetch()
    assert sorted(path for path, _ in bench.registry.downloads()) == ARCHIVES
    assert not (bench.cache.root / "partial").exists()


def test_unreachable_upstream_costs_one_line(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.fetch()
    lines = [line for line in capfd.readouterr().err.splitlines() if "best.onnx" in line]
    assert len(lines) == 1
    assert "going on without best.onnx: cannot reach https://127.0.0.1:1: " in lines[0]
    assert "VEILCAM_MODELS_FROM" in lines[0]


def test_unreachable_upstream_is_not_asked_again_the_same_day(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.fetch()
    bench.fetch()
    assert "not reached today" in capfd.readouterr().err
    bench.fetch(ask_again=True)
    assert "cannot reach" in capfd.readouterr().err


def test_old_style_index_pages_do(bench: Bench) -> None:
    bench.manifests |= publish(bench.registry, html=True)
    bench.fetch()
    assert bench.content("yunet-s") == FACE


def test_a_full_cache_needs_no_network(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.manifests["yunet"] = bench.manifests["yunet-s"]  # else its upstream would be asked
    bench.fetch()
    asked = len(bench.registry.asked)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1/")
    assert bench.fetch().placed == {}
    assert len(bench.registry.asked) == asked


def test_a_spoiled_cached_file_is_brought_again(bench: Bench) -> None:
    bench.fetch()
    (entry,) = bench.manifests["yunet-s"].artefacts.values()
    bench.cache.path(entry).write_bytes(bytes(len(FACE)))
    with pytest.raises(WrongHash):
        bench.content("yunet-s")
    bench.fetch()
    assert bench.content("yunet-s") == FACE


def test_wrong_archive_is_thrown_away(bench: Bench) -> None:
    kind, body = bench.registry.files["/files/some-faces.whl"]
    bench.registry.files["/files/some-faces.whl"] = (kind, body[:-1] + b"?")
    with pytest.raises(WrongHash, match="SHA-256"):
        bench.fetch()
    assert not list(bench.cache.root.rglob("*.part"))
    assert FACE not in placed(bench)


def test_wrong_member_never_enters_the_cache(bench: Bench) -> None:
    archive = tarball({"package/body.onnx": BODY[:-1] + b"?"})
    bench.registry.npm_package("@some/people", "1.0", archive)
    bench.manifests["nanodet-g"] = manifest(
        "nanodet-g", artefact(BODY, npm("@some/people", archive, "package/body.onnx"))
    )
    with pytest.raises(WrongHash, match="do not use that source"):
        bench.fetch("nanodet-g")
    assert placed(bench) == []


@pytest.mark.parametrize(
    "archive",
    [
        tarball({}, links={"package/body.onnx": "/etc/passwd"}),
        tarball({"package/other.onnx": BODY}),
        tarball({"../package/body.onnx": BODY, "/package/body.onnx": BODY}),
        tarball({"package/body.onnx": BODY + b"more"}),
        wheel({"package/body.onnx/": b""}),
        b"not an archive at all",
    ],
    ids=["symlink", "missing", "elsewhere", "longer", "folder", "garbage"],
)
def test_odd_members_are_refused(bench: Bench, archive: bytes, tmp_path: Path) -> None:
    bench.registry.npm_package("@some/people", "1.0", archive)
    bench.manifests["nanodet-g"] = manifest(
        "nanodet-g", artefact(BODY, npm("@some/people", archive, "package/body.onnx"))
    )
    before = {p for p in tmp_path.parent.rglob("*") if "cache" not in p.parts}
    with pytest.raises(WrongHash):
        bench.fetch("nanodet-g")
    assert {p for p in tmp_path.parent.rglob("*") if "cache" not in p.parts} == before


def test_members_outside_are_never_written(bench: Bench) -> None:
    bench.fetch("yunet-s", "blazeface-back", "nanodet-g")  # its wheel also holds ../../outside
    assert not list(bench.cache.root.parent.rglob("outside"))


def test_a_cut_download_goes_on_where_it_broke_off(bench: Bench) -> None:
    body = bench.registry.files["/files/some-faces.whl"][1]
    bench.registry.cut_after["/files/some-faces.whl"] = len(body) // 2
    bench.fetch()
    asked = [wanted for path, wanted in bench.registry.downloads() if path == "/files/some-faces.whl"]
    assert asked == [None, f"bytes={len(body) // 2}-"]
    assert bench.content("yunet-s") == FACE


def test_a_cut_download_goes_on_in_the_next_run(bench: Bench) -> None:
    body = bench.registry.files["/files/some-faces.whl"][1]
    (entry,) = bench.manifests["yunet-s"].artefacts.values()
    part = bench.cache.root / "partial" / f"{entry.source.archive_sha256}.part"  # type: ignore[union-attr]
    part.parent.mkdir(parents=True)
    part.write_bytes(body[:100])
    bench.fetch()
    assert ("/files/some-faces.whl", "bytes=100-") in bench.registry.downloads()
    assert bench.content("yunet-s") == FACE


def test_a_spoiled_part_is_dropped_and_begun_again(bench: Bench) -> None:
    (entry,) = bench.manifests["yunet-s"].artefacts.values()
    part = bench.cache.root / "partial" / f"{entry.source.archive_sha256}.part"  # type: ignore[union-attr]
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(100))
    bench.fetch()
    assert bench.content("yunet-s") == FACE


def test_a_server_without_ranges_sends_all_of_it_again(bench: Bench) -> None:
    bench.registry.ranges = False
    bench.registry.cut_after["/files/some-faces.whl"] = 500
    bench.fetch()
    assert bench.content("yunet-s") == FACE


@pytest.mark.parametrize("says_length", [True, False])
def test_more_bytes_than_stated_are_refused(bench: Bench, says_length: bool) -> None:
    bench.registry.says_length = says_length
    kind, body = bench.registry.files["/files/some-faces.whl"]
    bench.registry.files["/files/some-faces.whl"] = (kind, body + bytes(5_000_000))
    with pytest.raises(WrongHash, match="sends more than"):
        bench.fetch()
    assert not list(bench.cache.root.rglob("*.part"))


def test_an_index_without_the_file_says_so(bench: Bench) -> None:
    kind, _ = bench.registry.files["/simple/some-faces/"]
    bench.registry.files["/simple/some-faces/"] = (kind, b'{"files": [1, {"url": 3}]}')
    with pytest.raises(NetworkUnavailable, match="lists no file of"):
        bench.fetch()


def test_a_registry_that_is_gone_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(NetworkUnavailable, match=r"cannot reach http://127\.0\.0\.1:1: "):
        bench.fetch()


def test_credentials_go_to_the_index_and_into_no_message(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = bench.registry.base.replace("://", "://someone:pass%20word@")
    monkeypatch.setenv("PIP_INDEX_URL", f"{stated}/simple")
    bench.fetch("yunet-s", "blazeface-back", "nanodet-g")
    sent = dict(zip((path for path, _ in bench.registry.asked), bench.registry.authorizations, strict=True))
    assert sent["/simple/some-faces/"] == sent["/files/some-faces.whl"] == "Basic c29tZW9uZTpwYXNzIHdvcmQ="
    assert sent["/tarballs/people.tgz"] is None
    del bench.registry.files["/simple/some-pictures/"]
    with pytest.raises(NetworkUnavailable) as caught:
        bench.fetch("astronaut")
    assert "someone" not in str(caught.value)
    assert "word" not in str(caught.value)


def test_folder_at_hand_comes_before_the_network(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder" / "deeper"
    folder.mkdir(parents=True)
    for number, data in enumerate((FACE, EYE, BEST, PICTURE, bytes(len(BODY)))):
        (folder / f"{number}.any").write_bytes(data)
    (folder / "archive").write_bytes(bench.registry.files["/tarballs/people.tgz"][1])
    monkeypatch.setenv("VEILCAM_MODELS_FROM", str(folder.parent))
    outcome = bench.fetch()
    assert outcome.chain == "upstream"
    assert bench.content("yunet") == BEST
    assert bench.content("nanodet-g") == BODY
    assert bench.registry.asked == []


def test_folder_at_hand_must_be_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEILCAM_MODELS_FROM", "/nonexistent/folder")
    with pytest.raises(UsageError, match="not a folder"):
        bench.fetch()


def test_people_alone_are_no_chain(bench: Bench) -> None:
    with pytest.raises(ModelMissing):
        bench.fetch("nanodet-g")
    assert bench.content("nanodet-g") == BODY


def test_disk_full_is_an_output_error_and_leaves_no_half_file(bench: Bench) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(FACE) // 2, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            bench.fetch("yunet-s")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (entry,) = bench.manifests["yunet-s"].artefacts.values()
    assert not bench.cache.path(entry).exists()
    bench.fetch()
    assert left_behind(bench) <= {"lock", f"asked-{_hash(bench, 'yunet')}"}


def _hash(bench: Bench, name: str) -> str:
    (entry,) = bench.manifests[name].artefacts.values()
    return str(entry.sha256)


def test_two_fetches_at_once_do_the_work_once(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.cache.root.mkdir(parents=True)
    with (bench.cache.root / "lock").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        threads = [threading.Thread(target=bench.fetch) for _ in range(2)]
        for thread in threads:
            thread.start()
        heard = ""
        while "another fetch" not in heard:  # a line may come in two pieces
            threads[0].join(0.01)
            heard += capfd.readouterr().err
        assert bench.registry.asked == []
    for thread in threads:
        thread.join()
    assert sorted(path for path, _ in bench.registry.downloads()) == ARCHIVES
