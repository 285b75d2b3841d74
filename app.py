"""The web page: python app.py [--checkpoint FOLDER_OR_REPO]. 网页。"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from gpt_teacher.commands import quoted
from gpt_teacher.config import AppConfig
from gpt_teacher.errors import ConfigError, DataError
from gpt_teacher.run_log import LOG_FILE, TrainingLog, read_log
from scripts import model_options
from scripts.command_line import DONE, make_parser, read_config, run, say
from scripts.page_models import open_for_page, open_twin, warm_up

if TYPE_CHECKING:
    from gpt_teacher.views.quick_gradio import gr

UPLOADS = Path("runs/gradio")


def main() -> int:
    """Open the model, build the page, serve it. 主程序。"""
    parser = make_parser(__doc__)
    model_options.add(parser, f"MODEL_REPO_ID, else hub.repo_id, else {model_options.OWN_MODELS}")
    arguments = parser.parse_args()
    config = read_config(arguments)
    check_host(config.app.host)
    print("正在启动 / starting …", file=sys.stderr)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")  # a summary of all events
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")  # so far, made after each: for none
    if takes_files(UPLOADS):  # else they go to Gradio's own folder
        os.environ.setdefault("GRADIO_TEMP_DIR", str(UPLOADS.resolve()))
    from gpt_teacher.views.zero_gpu import prepare_zero_gpu

    prepare_zero_gpu()  # before torch is imported
    from gpt_teacher.machine import set_threads, share_memory_pools, usable_cores
    from gpt_teacher.training_jobs import TrainingJobs
    from gpt_teacher.views.page import build_page

    share_memory_pools()  # before there are threads
    set_threads(config.training.threads or max(1, usable_cores() // 2))  # two models at once
    teacher = open_for_page(arguments, config)
    twin = open_twin(teacher)
    log, language = training_log(teacher.folder), config.app.language
    warm_up(teacher, twin)
    jobs = TrainingJobs(config) if config.app.training else None
    page = build_page(teacher, log, language, twin, jobs, config.sampling)
    serve(page, config.app)
    return DONE


def check_host(host: str) -> None:
    """Try the address: Gradio would try it with a hundred ports. 检查地址。Raises ConfigError."""
    if ":" in host and not host.startswith("["):
        advised = quoted(f"app.host=[{host}]")  # zsh takes brackets for a pattern
        raise ConfigError([f"app.host is {host!r}; write it in brackets: --set {advised}"])
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host.strip("[]") or None, 0, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind) as trial:
            trial.bind(address)
    except (OSError, UnicodeError):  # a name that is too long has no IDNA
        raise ConfigError(
            [
                f"app.host is {host!r}, which is no address of this machine; use 127.0.0.1 (this "
                f"machine alone) or 0.0.0.0 (the whole classroom): --set app.host=0.0.0.0"
            ]
        ) from None


def takes_files(folder: Path) -> bool:
    """Make a folder; tell whether it can be written. 文件夹能不能写。"""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def serve(page: gr.Blocks, app: AppConfig) -> None:
    """Serve the page until Ctrl+C. 提供网页。Raises ConfigError if its port is taken."""
    from gpt_teacher.views.theme import launch

    try:
        launch(page, app)
    except OSError as error:
        if error.errno is not None:  # of a file; Gradio gives its own no number
            raise
        raise ConfigError(
            [
                f"app.port is {app.port}, and no such port is free on this machine: another page "
                f"may be open; close it, or take the first free port with --set app.port=0"
            ]
        ) from None
    page.block_thread()


def training_log(folder: Path) -> TrainingLog | None:
    """Return the log of a checkpoint, if it has one. 训练日志。

    A damaged one, or one without steps, is left out with a warning.
    """
    path = folder / LOG_FILE
    if not path.exists():
        return None
    try:
        return read_log(path)
    except DataError as error:
        say(f"warning: {error}\nthe page goes without the training log")
        return None


if __name__ == "__main__":
    run(main)
