"""Which model a command opens: a folder, a model of the Hub, or the default. 用哪个模型。"""

from __future__ import annotations

import argparse
from pathlib import Path

from gpt_teacher import Origin, default_checkpoint, is_folder_name, locate
from gpt_teacher.config import Config
from gpt_teacher.errors import ConfigError
from scripts.command_line import say

OWN_MODELS = "checkpoints, else pretrained"


def add(parser: argparse.ArgumentParser, default: str = OWN_MODELS) -> None:
    """Add the options; default says which model it is without them. 添加选项。"""
    parser.add_argument(
        "--checkpoint",
        metavar="FOLDER_OR_REPO",
        help=f"a folder, or USER/NAME on the Hub; default: {default}",
    )
    parser.add_argument("--revision", help="branch, tag or commit of USER/NAME; default: newest")
    parser.add_argument(
        "--offline", action="store_true", help="ask no network: only what was downloaded before"
    )


def origin(arguments: argparse.Namespace, config: Config) -> Origin:
    """Return the model that the options name. 选项指定的模型。"""
    check_revision(arguments, arguments.checkpoint or default_checkpoint(config))
    if arguments.checkpoint is None:
        return Origin(default_checkpoint(config))
    offline = arguments.offline or config.hub.offline
    return locate(arguments.checkpoint, arguments.revision, offline, say=say)


def check_revision(arguments: argparse.Namespace, *models: str | Path) -> None:
    """Raise ConfigError if --revision is given where all models are folders. 文件夹没有版本。"""
    if arguments.revision and all(is_folder_name(str(model)) for model in models):
        raise ConfigError(
            [
                f"--revision {arguments.revision} names a version of a model of the Hub, not of "
                f"the folder {' or '.join(map(str, models))}: give --checkpoint USER/NAME, or "
                f"leave out --revision"
            ]
        )
