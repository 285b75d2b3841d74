"""Which models the page serves: the wanted one, else one of this machine. 网页的模型。"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from dataclasses import replace

from gpt_teacher import SHIPPED, Origin, Pretrained, default_checkpoint, locate, open_origin
from gpt_teacher.config import Config
from gpt_teacher.errors import CheckpointError, GPTTeacherError, TokenizerError
from scripts import model_options
from scripts.command_line import say

SAME_RUN = ("steps", "seed", "last_loss_nats", "fingerprints")  # what two folders of a run share
WARM_UP_QUESTION = "你好"
PAGE_SECONDS = 8.0  # the page comes up, whatever the network does; a download goes on behind it


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
    model_options.check_revision(arguments, wanted or default_checkpoint(config))
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


def open_twin(teacher: Pretrained) -> Pretrained | None:
    """Open the quantized model of the same run, if there is one. 量化后的同一模型。

    Another one, or a damaged one, is left out with a warning.
    """
    from gpt_teacher.checkpoint import quantized_twin  # imports torch: not before ZeroGPU is told

    try:
        place = quantized_twin(teacher.folder)
        if place is None:
            return None
        twin = open_origin(teacher.origin._replace(folder=place))
    except GPTTeacherError as error:
        say(f"warning: {error}\nthe page goes without the quantized model")
        return None
    if any(twin.metrics.get(key) != teacher.metrics.get(key) for key in SAME_RUN):
        say(f"warning: {place} is of another run than {teacher.folder}: left out")
        return None
    return twin


def warm_up(teacher: Pretrained, twin: Pretrained | None) -> None:
    """Ask once, so that the first visitor does not wait for tables and caches. 预热。

    The nearest taught question is looked for in one of the models only.
    """
    with suppress(GPTTeacherError):  # models that read next to nothing
        for model in filter(None, (teacher, twin)):
            model.answer(WARM_UP_QUESTION)
        teacher.nearest(WARM_UP_QUESTION)
