"""Which model a command opens: a folder, a model of the Hub, or the default. 用哪个模型。"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

from gpt_teacher import SHIPPED, Origin, Pretrained, default_checkpoint, locate, open_origin
from gpt_teacher.config import Config
from gpt_teacher.errors import CheckpointError, GPTTeacherError, TokenizerError
from scripts.command_line import say

PAGE_SECONDS = 8.0  # the page comes up, whatever the network does; a download goes on behind it


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options. 添加选项。"""
    parser.add_argument(
        "--checkpoint",
        metavar="FOLDER_OR_REPO",
        help="a folder, or USER/NAME on the Hub; default: checkpoints, else pretrained",
    )
    parser.add_argument("--revision", help="branch, tag or commit of USER/NAME; default: newest")
    parser.add_argument(
        "--offline", action="store_true", help="ask no network: only what was downloaded before"
    )


def origin(arguments: argparse.Namespace, config: Config) -> Origin:
    """Return the model that the options name. 选项指定的模型。"""
    if arguments.checkpoint is None:
        return Origin(default_checkpoint(config))
    offline = arguments.offline or config.hub.offline
    return locate(arguments.checkpoint, arguments.revision, offline, say=say)


def open_for_page(arguments: argparse.Namespace, config: Config) -> Pretrained:
    """Open the model that the page serves: the wanted one, else one of this machine. 网页的模型。

    Wanted are --checkpoint, MODEL_REPO_ID of the environment (a Space has it), hub.repo_id of the
    configuration. What does not come from the Hub in time is replaced, and the page says so.
    """
    if arguments.checkpoint:
        wanted, revision = arguments.checkpoint, arguments.revision
    elif os.getenv("MODEL_REPO_ID"):
        wanted, revision = os.environ["MODEL_REPO_ID"], os.getenv("MODEL_REVISION")
    else:
        wanted, revision = config.hub.repo_id, arguments.revision or config.hub.revision
    if not wanted:
        return open_default(config)
    offline = arguments.offline or config.hub.offline
    try:
        found = locate(wanted, revision, offline, seconds=PAGE_SECONDS, go_on=True, say=say)
        return open_origin(found)
    except (CheckpointError, TokenizerError) as error:
        if found.repo_id == "":
            raise
        failure = error
    except GPTTeacherError as error:
        failure = error
    say(f"warning: {failure}")
    teacher = open_default(config)
    note = f"没有打开 {wanted}，改用这一个 / {wanted} was not opened, this one serves: {failure}"
    return replace(teacher, origin=teacher.origin._replace(note=note))


def open_default(config: Config) -> Pretrained:
    """Open the user's own model, or, if it is damaged, the shipped one. 打开默认模型。"""
    folder = default_checkpoint(config)
    try:
        return open_origin(Origin(folder))
    except (CheckpointError, TokenizerError) as error:
        if folder == SHIPPED / "last":
            raise
        print(f"warning: {error}\nserving {SHIPPED / 'last'} instead", file=sys.stderr)
        return open_origin(Origin(SHIPPED / "last", note=str(error)))
