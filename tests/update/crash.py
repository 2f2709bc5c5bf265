"""Power cuts by enumeration: what a disk may hold after each call of a process, made from its own trace.

A process is traced (strace), its calls are played on a model of the folder, and for every one of them the
folder is made anew as a power cut right after it could leave it:

* strict: nothing but what was asked to be on the disk: a file's bytes by fsync of the file, a name by fsync
  of its folder (POSIX promises no more);
* empty: names in order, as a journalling file system keeps them, and files that were not synced have no bytes
  (ext4 with delayed allocation);
* torn: names in order, and the first half of what was not synced.

Whole sectors that a disk lies about are not shown: that takes a disk, or a replayer below a file system.
"""

import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MODELS = ("strict", "empty", "torn")
CALLS = (
    "openat,open,creat,write,pwrite64,rename,renameat,renameat2,fsync,fdatasync,symlink,symlinkat,link,linkat,"
    "mkdir,mkdirat,unlink,unlinkat,rmdir,chmod,fchmod,fchmodat,truncate,ftruncate,copy_file_range,sendfile"
)
LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?")
PART = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?|(?:AT_FDCWD|\d+)<([^>]*)>|([A-Z0-9_|x]+)')


@dataclass
class Node:
    """A file, a folder or a link: as it is, and as it is known to be on the disk."""

    kind: str
    mode: int = 0o644
    data: bytes = b""
    synced: bytes = b""
    names: "dict[str, Node]" = field(default_factory=dict)
    synced_names: "dict[str, Node]" = field(default_factory=dict)

    def sync(self) -> None:
        """Bring it to the disk."""
        self.synced, self.synced_names = self.data, dict(self.names)

    def write(self, model: str, path: Path) -> None:
        """Make it as a power cut leaves it."""
        if self.kind == "link":
            path.symlink_to(self.data.decode())
            return
        if self.kind == "file":
            torn = model == "torn" and self.data != self.synced
            path.write_bytes(self.data[: len(self.data) // 2] if torn else self.synced)
        else:
            path.mkdir(exist_ok=True)
            for name, node in (self.synced_names if model == "strict" else self.names).items():
                node.write(model, path / name)
        path.chmod(self.mode)


class Disk:
    """A folder; paths are relative to it and begin with a slash, its own is empty."""

    def __init__(self, root: Path) -> None:
        self.root = _read(root)

    def at(self, path: str) -> Node:
        node = self.root
        for name in path.split("/")[1:]:
            node = node.names[name]
        return node

    def place(self, path: str) -> tuple[dict[str, Node], str]:
        folder, _, name = path.rpartition("/")
        return self.at(folder).names, name

    def has(self, path: str) -> bool:
        names, name = self.place(path)
        return name in names

    def put(self, path: str, node: Node) -> None:
        names, name = self.place(path)
        names[name] = node

    def play(self, call: str, words: Sequence[object]) -> None:
        path = str(words[0])
        if call == "open":
            if not self.has(path):
                self.put(path, Node("file"))
            elif words[1]:
                self.at(path).data = b""
        elif call == "write":
            assert isinstance(words[1], bytes)
            self.at(path).data += words[1]
        elif call == "mkdir":
            self.put(path, Node("folder", 0o755))
        elif call == "symlink":
            link = str(words[1]).encode()
            self.put(path, Node("link", data=link, synced=link))
        elif call == "rename":
            names, name = self.place(path)
            self.put(str(words[1]), names.pop(name))
        elif call == "unlink":
            names, name = self.place(path)
            del names[name]
        elif call == "chmod":
            self.at(path).mode = int(str(words[1]))
        else:
            assert call == "fsync", call
            self.at(path).sync()


def _read(path: Path) -> Node:
    """A file or folder that lies on the disk, whole."""
    told = path.lstat()
    if path.is_symlink():
        link = str(path.readlink()).encode()
        return Node("link", data=link, synced=link)
    if path.is_file():
        node = Node("file", stat.S_IMODE(told.st_mode), path.read_bytes())
    else:
        node = Node("folder", stat.S_IMODE(told.st_mode))
        node.names = {
            one.name: _read(one)
            for one in path.iterdir()
            if one.is_dir() or one.is_symlink() or one.is_file()
        }
    node.sync()
    return node


def traced(command: Sequence[str], root: Path, log: Path) -> list[tuple[str, tuple[object, ...]]]:
    """Run a command to its end and return what it did to a folder, in order."""
    strace = ["strace", "-f", "-y", "-xx", "-s", "100000000", "-o", str(log), "-e", f"trace={CALLS}"]
    subprocess.run([*strace, *command], check=True, capture_output=True, timeout=120)
    with log.open(encoding="ascii") as lines:
        return [one for line in lines for one in _events(line, str(root))]


def _events(line: str, root: str) -> Iterator[tuple[str, tuple[object, ...]]]:  # noqa: C901 - one branch a call
    found = LINE.match(line)
    if found is None or found[3].startswith("-"):
        return
    call, told, opened = found[1], [_word(part) for part in PART.finditer(found[2])], found[4]
    if call in ("openat", "open"):
        flags = next((word for word in told if isinstance(word, str) and word.startswith("O_")), "")
        path = _plain(opened or "")
        if path.startswith(f"{root}/") and "O_CREAT" in flags:
            yield "open", (path[len(root) :], "O_TRUNC" in flags)
        return
    paths = [word for word in _paths(call, told) if word.startswith(f"{root}/") or word == root]
    inside = [path[len(root) :] for path in paths]
    if not inside:
        return
    if call in ("copy_file_range", "sendfile", "pwrite64", "link", "linkat", "truncate", "ftruncate"):
        raise AssertionError(f"{call} is not played yet: {line[:200]}")
    if call == "write":
        yield "write", (inside[0], told[1])
    elif call.startswith("rename"):
        assert len(inside) == 2, line[:200]
        yield "rename", tuple(inside)
    elif call.startswith("symlink"):
        first = told[0]
        assert isinstance(first, bytes)
        yield "symlink", (inside[-1], first.decode())
    elif call.startswith("mkdir"):
        yield "mkdir", (inside[-1],)
    elif call in ("unlink", "unlinkat", "rmdir"):
        yield "unlink", (inside[-1],)
    elif "chmod" in call:
        mode = next(word for word in told if isinstance(word, str) and word.startswith("0"))
        yield "chmod", (inside[-1], int(mode, 8))
    else:
        yield "fsync", (inside[0],)


def _word(part: re.Match[str]) -> bytes | str | None:
    if part[1] is not None:
        assert part[2] is None, "cut short"
        return bytes.fromhex(part[1].replace("\\x", ""))
    return f"<{_plain(part[3])}" if part[3] is not None else part[4]


def _plain(text: str) -> str:
    return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text


def _paths(call: str, told: Sequence[bytes | str | None]) -> Iterator[str]:
    """The paths of a call: names, those below an open folder, and open files."""
    folder = ""
    for word in told:
        if isinstance(word, str) and word.startswith("<"):
            folder = word[1:]
            if call in ("write", "fsync", "fdatasync", "fchmod", "ftruncate", "pwrite64"):
                yield folder
        elif isinstance(word, bytes) and call != "write":
            name = word.decode(errors="replace")
            yield name if name.startswith("/") else f"{folder}/{name}"


def cuts(
    before: Path, events: Sequence[tuple[str, tuple[object, ...]]], where: Path, step: int = 1
) -> Iterator[tuple[str, int]]:
    """Make `where` anew for every call and every model; yields which."""
    for model in MODELS:
        disk = Disk(before)
        for number, (call, words) in enumerate(events):
            disk.play(call, words)
            if number % step == 0:
                shutil.rmtree(where, ignore_errors=True)
                disk.root.write(model, where)
                yield model, number
