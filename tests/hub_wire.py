"""HTTP of the Hub for tests: requests, replies, addresses, connections. 请求与回答。"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import sys
import urllib.parse
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

PARTS = {
    "{repository}": r"(?P<kind>models|datasets|spaces)/(?P<repo_id>[^/]+/[^/]+)",
    "{page}": r"(?:(?P<kind>datasets|spaces)/)?(?P<repo_id>[^/]+/[^/]+?)",  # models: no prefix
    "{space}": r"spaces/(?P<repo_id>[^/]+/[^/]+)",
    "{revision}": r"(?P<revision>[^/]+)",  # with its / quoted
    "{oid}": r"(?P<oid>[0-9a-f]{64})",
    "{path}": r"(?P<path>.+)",
}
PATH_PREFIX = {"model": "/", "dataset": "/datasets/", "space": "/spaces/"}


class Route(NamedTuple):
    """An address and the function that answers it. 路由。"""

    methods: list[str]
    path: re.Pattern[str]
    function: Callable[..., object]  # returns a Reply, or what to send as JSON


ROUTES: list[Route] = []


def route(methods: str, path: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Say which requests a function answers; it gets the parts of the path by name. 登记路由。"""
    for name, pattern in PARTS.items():
        path = path.replace(name, pattern)

    def add(function: Callable[..., object]) -> Callable[..., object]:
        ROUTES.append(Route(methods.split(), re.compile(path), function))
        return function

    return add


@dataclass(frozen=True)
class Request:
    """What a client asked. 一个请求。"""

    method: str
    path: str  # as sent: quoted, without the query
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}

    def form(self) -> dict[str, list[str]]:
        return urllib.parse.parse_qs(self.body.decode())

    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def is_pull_request(self) -> bool:
        return self.query.get("create_pr") == "1"


@dataclass
class Reply:
    """What to answer. 一个回答。"""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(
        cls, content: object, status: int = 200, headers: dict[str, str] | None = None
    ) -> Reply:
        body = json.dumps(content, ensure_ascii=False).encode()
        return cls(status, body, {"Content-Type": "application/json", **(headers or {})})


def serve(request: Request, content: bytes, headers: dict[str, str]) -> Reply:
    """A file, or the part of it that the request wants (Range). 文件或其中一段。"""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if wanted is None:
        return Reply(200, content, headers)
    first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
    if first > last:
        return Reply(416, headers={"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return Reply(206, content[first : last + 1], headers)


class HttpServer(ThreadingHTTPServer):
    """Gives each connection a thread; ends them all when it is closed."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[Request], tuple[Reply, int | None]]) -> None:
        self.answer = answer
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: socket.socket, client_address: object) -> None:
        """Print a mistake of the hub; a client that has gone is none."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        for connection in list(self.connections):
            with suppress(OSError):  # closed meanwhile
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    """Reads requests of a connection and writes the replies."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together
    server: HttpServer

    def respond(self) -> None:
        with suppress(ConnectionError):  # the client has gone
            self._send(*self.server.answer(self._request()))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = respond  # noqa: N815

    def _request(self) -> Request:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        parameters = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(int(headers.get("content-length", 0)))
        return Request(self.command, path, parameters, headers, body)

    def _chunks(self) -> Iterable[bytes]:
        while n_bytes := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(n_bytes)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, reply: Reply, cut: int | None) -> None:
        if cut is not None:
            self.close_connection = True
        if cut == 0:
            return
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[:cut])
        self.wfile.flush()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the hub keeps the requests."""
