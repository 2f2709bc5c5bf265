"""Names and contents that FFmpeg would take for addresses or scripts: nothing but the file is opened."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.core.clip_file import open_clip, video_of
from firmware.errors import SourceCorrupt, SourceError
from tests.redact.conftest import Run, background, write_clip


class Ear:
    """Listens on loopback and counts who comes."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.callers = 0
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            self.callers += 1
            peer.close()

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def ear() -> Iterator[Ear]:
    heard = Ear()
    yield heard
    heard.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A clip that nobody asked to be opened."""
    path = tmp_path / "secret.mp4"
    write_clip(path, [background(64, 64, n) for n in range(5)])
    return path


SCRIPTS = {
    "a list of HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
    "a list of HLS over TCP": "#EXTM3U\n#EXTINF:1,\ntcp://127.0.0.1:{port}\n#EXT-X-ENDLIST\n",
    "a list of files": "ffconcat version 1.0\nfile '{secret}'\n",
    "a list of addresses": "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/a.mp4'\n",
    "a session description": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "a manifest of DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    "<Period><BaseURL>http://127.0.0.1:{port}/</BaseURL></Period></MPD>",
    "a drawing": '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">'
    '<image href="http://127.0.0.1:{port}/a.png"/></svg>',
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_only_names_other_things_is_no_clip(script: str, tmp_path: Path, ear: Ear, secret: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text(SCRIPTS[script].format(port=ear.port, secret=secret), encoding="utf-8")
    with pytest.raises(SourceCorrupt), open_clip(path) as container:
        video_of(container, path)
    assert ear.callers == 0


@pytest.mark.parametrize(
    "name", ["http:", "tcp:", "concat:a|b", "subfile,,start,0,end,9,,:", "crypto:", "data:x", "-"]
)
def test_a_folder_or_file_is_what_it_is_however_it_is_called(
    name: str, tmp_path: Path, run: Run, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / f"{name}clip.mp4").write_bytes(secret.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert run("--regions", tmp_path / "r.json", "--", name, "out") == 0
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == [f"{name}clip.mp4"]


def test_a_name_alone_is_no_address(tmp_path: Path, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="no such file"):
        open_clip(Path(f"http://127.0.0.1:{ear.port}/clip.mp4"))
    assert ear.callers == 0
