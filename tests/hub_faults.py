"""What goes wrong in networks: faults of the Hub for tests, addresses with no Hub. 故障。"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hub_wire import Reply, Request

PAGE = b"<!doctype html><title>Welcome</title><p>Please log in to the network.</p>"


@dataclass
class Fault:
    """What goes wrong with the requests that it fits. 一种故障。"""

    path: re.Pattern[str]
    method: re.Pattern[str]
    status: int | None  # answered in place of the answer
    times: float  # math.inf: for ever
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None  # so many bytes of the answer are sent; 0: not even its headers
    corrupt: bool = False  # a byte in the middle is changed
    shorten: int = 0  # so many bytes are missing at the end, and nothing says so
    delay: float = 0.0  # seconds before anything happens
    after: int = 0  # so many requests pass first
    before: Callable[[], object] | None = None  # what happens then at the Hub

    def takes(self, request: Request) -> bool:
        """Whether it is this request's turn; counts. 是否轮到。"""
        fits = self.path.search(request.path) and self.method.fullmatch(request.method)
        if not fits or self.times <= 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True

    def damage(self, reply: Reply) -> None:
        if self.corrupt and reply.body:
            middle = len(reply.body) // 2
            changed = bytes([reply.body[middle] ^ 0xFF])
            reply.body = reply.body[:middle] + changed + reply.body[middle + 1 :]
        if self.shorten:
            reply.body = reply.body[: -self.shorten]


@contextmanager
def silent_endpoint() -> Iterator[str]:
    """An address that takes connections and never answers. 只连接不回答。"""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"  # the system connects; nobody reads


@contextmanager
def refused_endpoint() -> Iterator[str]:
    """An address where nothing listens, kept free of other programs meanwhile. 拒绝连接。"""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: connections are refused
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class _Page(BaseHTTPRequestHandler):
    """Answers everything with the same page."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(PAGE)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def web_page_endpoint() -> Iterator[str]:
    """An ordinary web server, as the login page of a network: 200 and HTML for all. 普通网页。"""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
