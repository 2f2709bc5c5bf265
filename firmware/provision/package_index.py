"""Finds the addresses of registry files, from what pip and npm on this machine are set up with.

No registry is named here: pip's configuration or pip itself knows the Python index, npm's the other.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urljoin, urlsplit

from firmware.config.model import NpmSource, PypiSource
from firmware.core.address import shown
from firmware.errors import NetworkUnavailable
from firmware.provision.web import WHAT_TO_DO, Web, with_credentials_of

_SIMPLE = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
_TOOL_S = 60.0  # npm is slow to start on a small board


def _ask(*command: str) -> str | None:
    """Return what a tool printed, or None where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


AsksPip: TypeAlias = Callable[[], Mapping[str, str]]
"""Gives pip's settings; called only where the environment does not say, for pip is slow to start."""


def pip_settings() -> Mapping[str, str]:
    """Return pip's settings by name, as its environment and then its files state them."""
    found: dict[str, str] = {}
    lines = (_ask(sys.executable, "-m", "pip", "config", "list") or "").splitlines()
    for prefix in ("global.", "download.", ":env:."):  # later ones win, as in pip
        for line in lines:
            name, _, value = line.partition("=")
            if name.startswith(prefix):
                found[name.removeprefix(prefix)] = str(ast.literal_eval(value))
    return found


def extra_certificates(pip: AsksPip) -> tuple[Path, ...]:
    """Return the certificate files that pip and npm are told to trust, beside the system's."""
    stated = (
        os.environ.get("PIP_CERT") or pip().get("cert"),
        os.environ.get("NODE_EXTRA_CA_CERTS"),
        os.environ.get("npm_config_cafile"),  # noqa: SIM112  npm's own spelling
    )
    return tuple(dict.fromkeys(Path(path) for path in stated if path))


@dataclass
class PythonIndex:
    """The Python package index this machine is set up for."""

    web: Web
    pip: AsksPip

    @cached_property
    def base(self) -> str:
        """Address of the simple index."""
        stated = os.environ.get("PIP_INDEX_URL") or self.pip().get("index-url")
        code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
        base = stated or _ask(sys.executable, "-c", code)
        if not base:
            raise NetworkUnavailable(
                f"no Python package index is known: {sys.executable} has no pip; set PIP_INDEX_URL, "
                f"or {WHAT_TO_DO}"
            )
        return base.rstrip("/") + "/"

    def address(self, source: PypiSource) -> str:
        """Return where the archive of `source` lies, chosen by its hash; raises NetworkUnavailable."""
        page = urljoin(self.base, re.sub(r"[-_.]+", "-", source.package).lower() + "/")
        kind, body = self.web.page(page, {"Accept": _SIMPLE})
        links = _json_links(body) if kind.endswith("+json") else _html_links(body)
        if source.archive_sha256 not in links:
            raise NetworkUnavailable(
                f"{shown(page)} lists no file of {source.package} {source.version} with SHA-256 "
                f"{source.archive_sha256}; use an index that has it, or {WHAT_TO_DO}"
            )
        return with_credentials_of(page, urljoin(page, links[source.archive_sha256]))


def _json_links(body: bytes) -> Mapping[str, str]:
    """Return the files of a PEP 691 page by SHA-256."""
    page = _json(body)
    files = page.get("files", []) if isinstance(page, dict) else []
    return {
        entry["hashes"]["sha256"]: entry["url"]
        for entry in files
        if isinstance(entry, dict)
        and isinstance(entry.get("url"), str)
        and "sha256" in entry.get("hashes", {})
    }


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


class _Links(HTMLParser):
    """Collects the links of a PEP 503 page by the SHA-256 in their fragments."""

    def __init__(self) -> None:
        super().__init__()
        self.by_hash: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        link = dict(attrs).get("href") if tag == "a" else None
        if link and (hit := re.fullmatch(r"sha256=([0-9a-f]{64})", urlsplit(link).fragment)):
            self.by_hash[hit[1]] = link.partition("#")[0]


def _html_links(body: bytes) -> Mapping[str, str]:
    parser = _Links()
    parser.feed(body.decode("utf-8", "replace"))
    return parser.by_hash


def npm_registry() -> str | None:
    """Return the npm registry of this machine, or None where nothing here knows one."""
    ours = os.environ.get("npm_config_registry")  # noqa: SIM112  npm's own spelling
    stated = ours or os.environ.get("NPM_CONFIG_REGISTRY")
    return stated or _ask_npm() or _npmrc(Path.home() / ".npmrc") or _npmrc(Path("/etc/npmrc"))


def _ask_npm() -> str | None:
    npm = shutil.which("npm")
    answer = _ask(npm, "config", "get", "registry") if npm else None
    return answer if answer and answer.startswith("http") else None


def _npmrc(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    hit = re.search(r"^\s*registry\s*=\s*[\"']?(https?://[^\s\"']+)", text, re.MULTILINE)
    return hit[1] if hit else None


def registry_in_npm(definitions: bytes) -> str:
    """Return the registry that npm's own table of settings names; raises NetworkUnavailable."""
    text = definitions.decode("utf-8", "replace")
    hit = re.search(r"Definition\('registry',\s*\{\s*default:\s*'(https://[^']+)'", text)
    if hit is None:
        raise NetworkUnavailable(f"npm's settings name no registry; set npm_config_registry, or {WHAT_TO_DO}")
    return hit[1]


def npm_address(web: Web, registry: str, source: NpmSource) -> str:
    """Return where the tarball of `source` lies; raises NetworkUnavailable."""
    page = f"{registry.rstrip('/')}/{quote(source.package, safe='@')}/{quote(source.version)}"
    parsed = _json(web.page(page, {"Accept": "application/json"})[1])
    dist = parsed.get("dist") if isinstance(parsed, dict) else None
    tarball = dist.get("tarball") if isinstance(dist, dict) else None
    if not isinstance(tarball, str):
        raise NetworkUnavailable(
            f"{shown(page)} names no tarball; use a registry that has {source.package} {source.version}, "
            f"or {WHAT_TO_DO}"
        )
    return with_credentials_of(page, urljoin(page, tarball))
