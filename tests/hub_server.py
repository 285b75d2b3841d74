"""A Hub for tests, which the real client (huggingface_hub, `hf`) talks to over HTTP. 测试用 Hub。

By hand: `python tests/hub_server.py`, then the two lines that it prints.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
import urllib.parse
from contextlib import suppress
from pathlib import Path

import hub_routes  # noqa: F401 -- fills ROUTES
import hub_uploads  # noqa: F401 -- fills ROUTES
from hub_accounts import TOKENS, Token
from hub_faults import Fault
from hub_repository import HubError, Kind, Repository
from hub_space import Build, Space
from hub_wire import ROUTES, HttpServer, Reply, Request
from hub_xet import XetStore


class HubServer:
    """A Hub on a free port of 127.0.0.1, from `with` to its end. 测试用 Hub 服务器。"""

    def __init__(self, xet: bool = False, free_gradio_spaces: bool = False) -> None:
        self.tokens = dict(TOKENS)
        self.repositories: dict[tuple[Kind, str], Repository] = {}
        self.blobs: dict[str, bytes] = {}  # by git SHA-1, or by SHA-256 if LFS
        self.builds: dict[str, Build] = {}  # how Spaces start that are not made yet
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.free_gradio_spaces = free_gradio_spaces  # since July 2026 the real Hub wants PRO
        self.stopping = threading.Event()
        self._lock = threading.RLock()
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.xet = XetStore(Path(self._folder.name)) if xet else None

    def __enter__(self) -> HubServer:
        self._server = HttpServer(self.answer)
        port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{port}"
        self.cdn_url = f"http://localhost:{port}"  # another origin, as the CDN of the real Hub
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._folder.cleanup()

    # ------------------------------------------------------------ what tests arrange and read

    def fault(
        self,
        path: str,
        *,
        method: str = ".*",
        status: int | None = None,
        times: float = 1,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
        corrupt: bool = False,
        shorten: int = 0,
        delay: float = 0.0,
        after: int = 0,
    ) -> Fault:
        """Let something go wrong with requests whose path holds a pattern. 安排故障。

        An answer that is cut or corrupt is an answer: a commit has been made. Times: math.inf
        is for ever, and `fault.times = 0` ends it.
        """
        patterns = re.compile(path), re.compile(method)
        fault = Fault(*patterns, status, times, headers or {}, cut, corrupt, shorten, delay, after)
        self.faults.append(fault)
        return fault

    def plan_build(self, repo_id: str, build: Build) -> None:
        """Say how a Space, made already or not, starts after the next push. 安排构建。"""
        self.builds[repo_id] = build
        space = self.repositories.get(("space", repo_id))
        if isinstance(space, Space):
            space.build = build
            space.restart()

    def create(self, repo_id: str, private: bool = False) -> Repository:
        """Make a model without asking anybody. 直接新建模型仓库。"""
        repository = Repository("model", repo_id, self.blobs, private)
        self.repositories["model", repo_id] = repository
        return repository

    def model(self, repo_id: str) -> Repository:
        return self.repositories["model", repo_id]

    def space(self, repo_id: str) -> Space:
        space = self.repositories["space", repo_id]
        assert isinstance(space, Space), "the hub makes a Space for the kind space"
        return space

    def requested(self, method: str, path: str) -> list[Request]:
        """The requests so far whose path holds a pattern. 收到的请求。"""
        return [
            request
            for request in list(self.requests)
            if request.method == method and re.search(path, request.path)
        ]

    # ------------------------------------------------------------ who may do what

    def token(self, request: Request) -> Token | None:
        """The token of a request, None if it has none. 请求的令牌。"""
        secret = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if secret and secret not in self.tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.tokens.get(secret)

    def signed_in(self, request: Request) -> Token:
        token = self.token(request)
        if token is None:
            raise HubError(401, "Invalid username or password.")
        return token

    def readable(self, request: Request, kind: Kind, repo_id: str) -> Repository:
        """A repository that the client may see. 可见的仓库。"""
        token, repository = self.token(request), self.repositories.get((kind, repo_id))
        if repository is not None and not repository.private:
            return repository
        if token is None:  # the Hub does not tell strangers what is private and what is not
            raise HubError(401, "Invalid username or password.", "RepoNotFound")
        if repository is None or not token.may_read(repo_id):
            raise HubError(404, "Repository not found", "RepoNotFound")
        return repository

    def downloadable(self, request: Request, kind: Kind, repo_id: str) -> Repository:
        """A repository whose files the client may have. 可下载的仓库。"""
        token, repository = self.token(request), self.readable(request, kind, repo_id)
        if not repository.gated:
            return repository
        restricted = f"Access to {kind} {repo_id} is restricted"
        if token is None:
            raise HubError(401, f"{restricted}. Please log in.", "GatedRepo")
        if not token.may_read(repo_id) and token.user.name not in repository.granted:
            raise HubError(403, f"{restricted} and you are not in the authorized list", "GatedRepo")
        return repository

    def writable(
        self, request: Request, kind: Kind, repo_id: str, as_pull_request: bool = False
    ) -> Repository:
        """A repository that the client may change, or propose changes to. 可写的仓库。"""
        token, repository = self.signed_in(request), self.readable(request, kind, repo_id)
        if token.may_write(repo_id) or (as_pull_request and token.may_propose):
            return repository
        if token.may_read(repo_id):
            raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
        raise HubError(
            403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request"
        )

    def lfs_blob(self, sha256: str, n_bytes: int) -> bytes:
        """An LFS file that has been uploaded, by LFS or by Xet. 已上传的大文件。"""
        if sha256 not in self.blobs and self.xet is not None:
            content = self.xet.take(sha256, n_bytes)
            if content is not None:
                self.blobs[sha256] = content
        if sha256 not in self.blobs:
            raise HubError(400, "Your push was rejected: an LFS pointer pointed to no file")
        return self.blobs[sha256]

    # ------------------------------------------------------------ answering

    def answer(self, request: Request) -> tuple[Reply, int | None]:
        """The reply to a request, and how many bytes of it to send if not all. 回答请求。"""
        with self._lock:
            self.requests.append(request)
            fault = next((fault for fault in self.faults if fault.takes(request)), None)
        if fault is None:
            return self._route(request), None
        if fault.before is not None:
            fault.before()
        self.stopping.wait(fault.delay)
        if fault.status is not None:
            injected = {"error": "a fault that the test has ordered"}
            return Reply.json(injected, fault.status, fault.headers), fault.cut
        reply = self._route(request)
        fault.damage(reply)
        return reply, fault.cut

    def _route(self, request: Request) -> Reply:
        try:
            answer = self._call(request)
        except HubError as error:
            return Reply.json(error.body, error.status, error.headers)
        return answer if isinstance(answer, Reply) else Reply.json(answer)

    def _call(self, request: Request) -> object:
        for route in ROUTES:
            match = route.path.fullmatch(request.path)
            if match is None or request.method not in route.methods:
                continue
            parts = match.groupdict()
            arguments = {name: urllib.parse.unquote(part) for name, part in parts.items() if part}
            if "kind" in parts:  # "models", or nothing where models have no prefix
                arguments["kind"] = (parts["kind"] or "models").removesuffix("s")
            with self._lock:
                return route.function(self, request, **arguments)
        raise HubError(404, f"the hub for tests has no {request.method} {request.path}")


def client_environment(
    hub: HubServer | str, home: Path, token: str | None = None, xet: bool = False
) -> dict[str, str]:
    """The variables for a process whose client talks to a hub (or an address). 客户端环境变量。

    The client reads them when it is imported. home: an empty folder for token and cache.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("HF_") and not name.upper().endswith("_PROXY")
    }
    environment |= {
        "HF_ENDPOINT": hub if isinstance(hub, str) else hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_XET": "0" if xet else "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    if token is not None:
        environment["HF_TOKEN"] = token
    return environment


def main() -> None:
    """Serve until Ctrl+C."""
    xet = "--xet" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as home, HubServer(xet=xet) as hub:
        lines = [
            "A Hub for trying commands; it forgets everything when it ends (Ctrl+C). In a shell:",
            f"  export HF_ENDPOINT={hub.url} HF_HOME={home} HF_TOKEN=hf_write",
            f"  export HF_HUB_DISABLE_XET={0 if xet else 1} NO_PROXY=127.0.0.1,localhost",
            "Tokens:",
        ]
        for secret, token in hub.tokens.items():
            rights = (token.role, *token.writable, *(["PRO"] if token.user.is_pro else []))
            lines.append(f"  {secret:14} {token.user.name}: {', '.join(rights)}")
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            while not hub.stopping.wait(1):  # in steps: Windows hears Ctrl+C only in between
                pass


if __name__ == "__main__":
    main()
