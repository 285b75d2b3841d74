"""The part of 动手训练 that publishes a model on the Hub. 发布自己的模型。

On a Space each visitor logs in, and the token of that login serves one publication. Elsewhere the
login of the machine is used, so only a browser on this machine may: a class on the network shall
not publish under its teacher's name.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
from typing import Any

from gradio.utils import get_space

from gpt_teacher.errors import GPTTeacherError
from gpt_teacher.hub.publish_run import publish_run
from gpt_teacher.training_files import RunFiles
from gpt_teacher.training_jobs import TrainingJobs
from gpt_teacher.views.hub_chinese import in_chinese
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.text import Text

MAX_NAME = 200  # characters; the Hub takes fewer


def is_space() -> bool:
    """Tell whether this is a Space that visitors can log in to. 是否在 Space 上。"""
    return bool(os.getenv("SPACE_ID"))


def can_log_in() -> bool:
    """Tell whether the Space has a login: hf_oauth of its card, and gradio[oauth]. 是否有登录。"""
    installed = all(importlib.util.find_spec(name) for name in ("authlib", "itsdangerous"))
    # What Gradio does not take for a Space it gives a mock login: that of the machine.
    return get_space() is not None and bool(os.getenv("OAUTH_CLIENT_ID")) and installed


def is_this_machine(host: str | None) -> bool:
    """Tell whether a visitor's browser runs on this very machine. 是否本机访问。"""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:127.0.0.1
    return (mapped or address).is_loopback


def publish_own(files: RunFiles, name: str, private: bool, token: str | None, text: Text) -> str:
    """Publish a run's model; return what came of it, a sentence. 发布并说明结果。"""
    try:
        published = publish_run(files, name[:MAX_NAME], private, token, lambda _: None)
    except GPTTeacherError as error:
        reason = in_chinese(str(error)) if text["language"] == "zh" else error
        return text["own_push_failed"].format(reason=reason)
    what = "own_pushed" if published.changed else "own_pushed_before"
    return text[what].format(address=published.address, commit=published.commit[:7])


def build_publish(run_id: gr.Textbox, jobs: TrainingJobs, text: Text) -> gr.Textbox:
    """Put the components on the page; return the one that says what came of it. 搭建界面。"""
    place = "space" if is_space() else "machine"
    gr.Markdown(text[f"own_push_intro_{place}"])
    if can_log_in():
        gr.LoginButton(text["own_login"], logout_value=text["own_logout"])
    name = gr.Textbox(
        label=text["own_push_name"],
        info=text["own_push_name_info"],
        lines=1,
        max_lines=1,
        max_length=MAX_NAME,
        elem_id="own-push-name",
    )
    private = gr.Checkbox(True, label=text["own_push_private"], info=text["own_push_private_info"])
    button = gr.Button(text["own_push_start"], elem_id="own-push")
    outcome = gr.Textbox(
        label=text["own_push_status"], lines=2, interactive=False, elem_id="own-push-status"
    )

    def push(
        name: str,
        private: bool,
        run_id: str,
        request: gr.Request,
        token: gr.OAuthToken | None,
    ) -> str:
        files, state = jobs.files(run_id), jobs.state(run_id)
        if files is None or state is None or not state.has_model:
            return text["own_no_model"]
        if not (name or "").strip():
            return text["own_push_name_first"]
        if is_space():
            if token is None:
                return text["own_push_login_first"]
            return publish_own(files, name, bool(private), token.token, text)
        if not is_this_machine(request.client.host if request.client else None):
            return text["own_push_not_here"]
        return publish_own(files, name, bool(private), None, text)

    quiet: dict[str, Any] = {"api_visibility": "private", "api_name": "publish_own"}
    button.click(
        push,
        [name, private, run_id],
        outcome,
        concurrency_id="push",
        concurrency_limit=1,
        trigger_mode="once",
        show_progress_on=outcome,
        **quiet,
    )
    return outcome
