"""What all commands share: options, exit codes, UTF-8. 命令行的公共部分。

Exit codes: 0 done, 2 the user can mend it (one message, no traceback), 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from gpt_teacher.commands import quoted
from gpt_teacher.config import Config, load_config
from gpt_teacher.errors import DataError, GPTTeacherError
from scripts import streams

DONE, USER_CAN_MEND, INTERRUPTED = 0, 2, 130
CONFIG_FILE = Path("config.yaml")


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all commands take; doc is its help. 公共选项。"""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=CONFIG_FILE, metavar="FILE")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one value of the configuration, e.g. training.max_steps=50; may be repeated",
    )
    return parser


def read_config(arguments: argparse.Namespace) -> Config:
    """Return the configuration that --config and --set ask for. 读取配置。"""
    return load_config(arguments.config, arguments.set)


def given_options(arguments: argparse.Namespace) -> list[str]:
    """Return --config and --set as they were given, for a command that is advised. 已给的选项。"""
    config = [] if arguments.config == CONFIG_FILE else ["--config", quoted(str(arguments.config))]
    return config + [word for one in arguments.set for word in ("--set", quoted(one))]


def say(text: str) -> None:
    """Show how far it is. 进度。"""
    print(text, file=sys.stderr, flush=True)


def write_text(path: Path | None, text: str) -> None:
    """Write a result to a file, or to stdout when there is none. 输出结果。"""
    if path is None:
        print(text, end="")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Half a character, as JSON can hold it, has no UTF-8.
        path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; choose another file") from None


def end_at_once(*_: object) -> None:
    """End the process on Ctrl+C. 立即结束。"""
    print("interrupted", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)


def run(main: Callable[[], int], nothing_to_save: bool = False) -> None:
    """Run a command's main and exit with its code. 运行命令。

    With nothing to save, Ctrl+C ends it at once, whatever its threads wait for.
    """
    if nothing_to_save:
        signal.signal(signal.SIGINT, end_at_once)
    streams.prepare()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        code = main()
        sys.stdout.flush()
    except GPTTeacherError as error:
        print(f"error: {error}", file=sys.stderr)
        code = USER_CAN_MEND
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    except OSError as error:
        if not streams.reader_left(error):
            raise
        streams.drop_the_rest()
        code = DONE
    sys.exit(code)
