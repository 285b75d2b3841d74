"""Spaces of the Hub for tests: builds, prices, settings, logs. 应用空间。"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hub_repository import Commit, HubError, Repository, StoredFile, now
from hub_wire import Reply, Request, route

if TYPE_CHECKING:
    from hub_server import HubServer


@dataclass
class Build:
    """How a Space starts after each push. 构建过程。"""

    building_polls: int = 0  # so many polls are answered BUILDING, then comes `end`
    end: str = "RUNNING"  # or BUILD_ERROR, RUNTIME_ERROR, CONFIG_ERROR ...
    error: str | None = None  # told with `end`
    build_log: list[str] = field(default_factory=lambda: ["===== Build Queued =====\n"])
    run_log: list[str] = field(default_factory=lambda: ["===== Application Startup =====\n"])


class Space(Repository):
    """A repository whose files run. 一个应用空间。"""

    def __init__(
        self, repo_id: str, blobs: dict[str, bytes], private: bool, sdk: str, hardware: str
    ) -> None:
        self.build = Build()
        self.polls_left = 0
        self.paused = False
        self.built: str | None = None  # the commit of the container, if not the newest
        self.sdk, self.hardware = sdk, hardware
        self.sleep_seconds = 48 * 3600
        self.secrets: dict[str, dict[str, str]] = {}
        self.variables: dict[str, dict[str, str]] = {}
        super().__init__("space", repo_id, blobs, private)

    def commit(
        self, branch: str, files: dict[str, StoredFile], title: str, message: str = ""
    ) -> Commit:
        commit = super().commit(branch, files, title, message)
        if branch == "main":
            self.restart()
        return commit

    def restart(self) -> None:
        self.paused, self.polls_left = False, self.build.building_polls

    @property
    def stage(self) -> str:
        """The stage as the next poll sees it. 当前阶段。"""
        card = self.card_metadata(self.commits[self.branches["main"]])
        usual = {"static": "index.html", "docker": "Dockerfile"}.get(self.sdk, "app.py")
        if card.get("app_file", usual) not in self.files:
            return "NO_APP_FILE"
        if self.paused:
            return "PAUSED"
        return "BUILDING" if self.polls_left > 0 else self.build.end

    def runtime(self) -> dict[str, object]:
        """The state as `get_space_runtime` reads it. 运行状态。"""
        current = self.hardware if self.stage == "RUNNING" else None
        runtime: dict[str, object] = {
            "stage": self.stage,
            "hardware": {"current": current, "requested": self.hardware},
            "gcTimeout": self.sleep_seconds,
            "sha": self.built or self.branches["main"],
        }
        if self.stage == self.build.end and self.build.error is not None:
            runtime["errorMessage"] = self.build.error
        return runtime

    def info(self, revision: str, with_blobs: bool) -> dict[str, object]:
        return {
            **super().info(revision, with_blobs),
            "sdk": self.sdk,
            "runtime": self.runtime(),
        }


def check_price(hub: HubServer, request: Request, sdk: str, hardware: str) -> None:
    """Refuse what an account without PRO does not get for nothing. 检查收费。"""
    if hub.signed_in(request).user.is_pro or sdk == "static" or hardware == "zero-a10g":
        return
    if hardware != "cpu-basic":
        raise HubError(402, "A payment method and prepaid credits are required for this hardware")
    if not hub.free_gradio_spaces:
        raise HubError(
            402,
            "Static Spaces are free for everyone, but hosting Gradio and Docker Spaces on free "
            "cpu-basic requires a PRO subscription",
        )


def writable_space(hub: HubServer, request: Request, repo_id: str) -> Space:
    space = hub.writable(request, "space", repo_id)
    assert isinstance(space, Space), "the hub makes a Space for the kind space"
    return space


@route("GET", "/api/{space}/runtime")
def space_runtime(hub: HubServer, request: Request, repo_id: str) -> object:
    space = hub.readable(request, "space", repo_id)
    assert isinstance(space, Space), "the hub makes a Space for the kind space"
    runtime = space.runtime()
    space.polls_left = max(0, space.polls_left - 1)
    return runtime


@route("POST", "/api/{space}/(?P<action>restart|pause)")
def restart_or_pause(hub: HubServer, request: Request, repo_id: str, action: str) -> object:
    space = writable_space(hub, request, repo_id)
    space.restart()
    space.paused = action == "pause"
    return space.runtime()


@route("POST", "/api/{space}/hardware")
def change_hardware(hub: HubServer, request: Request, repo_id: str) -> object:
    space, asked = writable_space(hub, request, repo_id), request.json()
    check_price(hub, request, space.sdk, asked["flavor"])
    space.hardware = asked["flavor"]
    space.restart()
    return space.runtime()


@route("POST", "/api/{space}/sleeptime")
def change_sleep_time(hub: HubServer, request: Request, repo_id: str) -> object:
    space = writable_space(hub, request, repo_id)
    space.sleep_seconds = request.json()["seconds"]
    return space.runtime()


@route("GET POST DELETE", "/api/{space}/secrets")
def secrets(hub: HubServer, request: Request, repo_id: str) -> object:
    """The names of secrets: their values never come back. 密钥。"""
    space = writable_space(hub, request, repo_id)
    change(space.secrets, request)
    return {key: {"key": key, "updatedAt": now()} for key in space.secrets}


@route("GET POST DELETE", "/api/{space}/variables")
def variables(hub: HubServer, request: Request, repo_id: str) -> object:
    space = writable_space(hub, request, repo_id)
    change(space.variables, request)
    return space.variables


def change(settings: dict[str, dict[str, str]], request: Request) -> None:
    """Set or delete a secret or variable, as the request asks. 修改设置。"""
    asked = request.json()
    if request.method == "POST":
        settings[asked["key"]] = {**asked, "updatedAt": now()}
    elif request.method == "DELETE":
        settings.pop(asked["key"], None)


@route("GET", "/api/{space}/logs/(?P<which>build|run)")
def space_logs(hub: HubServer, request: Request, repo_id: str, which: str) -> object:
    """The lines so far, as server-sent events. 日志。"""
    build = writable_space(hub, request, repo_id).build
    events = [
        "data: " + json.dumps({"data": line, "timestamp": now()}, ensure_ascii=False) + "\n\n"
        for line in (build.build_log if which == "build" else build.run_log)
    ]
    return Reply(200, "".join(events).encode(), {"Content-Type": "text/event-stream"})
