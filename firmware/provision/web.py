"""Opens addresses with deadlines, the machine's certificates, and credentials that stay with their host."""

import base64
import contextlib
import http.client
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from queue import Queue
from urllib.parse import unquote, urlsplit, urlunsplit

from firmware.core.address import shown
from firmware.errors import NetworkUnavailable

PAGE_LIMIT = 64 << 20  # a registry's page about one package; the largest known are a tenth of this
WHAT_TO_DO = "connect this machine to a network, or name a folder of model files with VEILCAM_MODELS_FROM"


class RangeRefused(NetworkUnavailable):
    """The server has no bytes where a download should go on."""


@dataclass(frozen=True)
class Web:
    """How to reach the network: seconds to connect, seconds without a byte, and extra certificate files."""

    connect_s: float = 10.0
    silent_s: float = 20.0
    certificates: Sequence[Path] = field(default=())

    @contextlib.contextmanager
    def open(
        self, url: str, headers: Mapping[str, str] | None = None, connect_s: float | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Open an address.

        Raises:
            NetworkUnavailable: it cannot be reached in time, refuses, or breaks off.
        """
        limit = connect_s or self.connect_s
        try:
            with _within(limit, self._request(url, headers or {}), self._context, self.silent_s) as response:
                yield response
        except urllib.error.HTTPError as exc:
            exc.close()
            if exc.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise RangeRefused(f"{shown(url)} is shorter than what was already downloaded of it") from exc
            raise NetworkUnavailable(f"{shown(url)} answered {exc.code} {exc.reason}; {WHAT_TO_DO}") from exc
        except urllib.error.URLError as exc:
            raise NetworkUnavailable(f"cannot reach {shown(url)}: {exc.reason}; {WHAT_TO_DO}") from exc
        except TimeoutError as exc:
            raise NetworkUnavailable(f"cannot reach {shown(url)}: no answer in time; {WHAT_TO_DO}") from exc
        except (http.client.HTTPException, ConnectionError, ssl.SSLError) as exc:
            raise NetworkUnavailable(f"{shown(url)} broke off ({type(exc).__name__}); {WHAT_TO_DO}") from exc

    def page(self, url: str, headers: Mapping[str, str] | None = None) -> tuple[str, bytes]:
        """Return content type and body of a page; raises NetworkUnavailable."""
        with self.open(url, headers) as response:
            body = response.read(PAGE_LIMIT + 1)
            if len(body) > PAGE_LIMIT:
                raise NetworkUnavailable(f"{shown(url)} is longer than {PAGE_LIMIT} bytes; {WHAT_TO_DO}")
            return response.headers.get_content_type(), body

    @cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        for path in self.certificates:
            if path.is_file():
                context.load_verify_locations(cafile=path)
        return context

    def _request(self, url: str, headers: Mapping[str, str]) -> urllib.request.Request:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise NetworkUnavailable(f"{shown(url)} is not an http or https address; {WHAT_TO_DO}")
        plain, authorization = split_credentials(url)
        request = urllib.request.Request(plain, headers=dict(headers))  # noqa: S310  the scheme was checked
        request.add_header("User-Agent", "veilcam-setup")
        if authorization:
            request.add_unredirected_header("Authorization", authorization)
        return request


def _within(
    limit_s: float, request: urllib.request.Request, context: ssl.SSLContext, silent_s: float
) -> http.client.HTTPResponse:
    """Open within `limit_s` in all: names, proxies and handshakes each have their own, longer, time-outs."""
    answers: Queue[http.client.HTTPResponse | OSError | http.client.HTTPException] = Queue()
    given_up = threading.Event()

    def connect() -> None:
        try:
            response = urllib.request.urlopen(request, timeout=silent_s, context=context)  # noqa: S310  see _request
        except (OSError, http.client.HTTPException) as exc:
            answers.put(exc)
            return
        if given_up.is_set():
            response.close()
        else:
            answers.put(response)

    thread = threading.Thread(target=connect, name="connect", daemon=True)
    thread.start()
    thread.join(limit_s)
    given_up.set()
    if answers.empty():
        raise TimeoutError
    answer = answers.get()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def split_credentials(url: str) -> tuple[str, str | None]:
    """Return the address without user and password, and the header that carries them."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url, None
    userinfo, _, host = parts.netloc.rpartition("@")
    token = base64.b64encode(unquote(userinfo).encode()).decode("ascii")
    return urlunsplit(parts._replace(netloc=host)), f"Basic {token}"


def with_credentials_of(base: str, url: str) -> str:
    """Give `url` the user and password of `base` where both are on one host and one scheme."""
    ours, theirs = urlsplit(base), urlsplit(url)
    userinfo, at, host = ours.netloc.rpartition("@")
    if at and (theirs.scheme, theirs.netloc) == (ours.scheme, host):
        return urlunsplit(theirs._replace(netloc=f"{userinfo}@{host}"))
    return url
