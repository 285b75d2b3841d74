"""Runs commands as processes of their own, each forked from this one, which has imported torch.

`python -m scripts.NAME` spends two seconds on imports; a fork of this process has done them. Reads
requests from stdin, a JSON object a line, and answers each with a number: a process id, or an exit
code (negative: killed by that signal).
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import runpy
import signal
import sys
import traceback

HEAVY_MODULES = (
    "gpt_teacher.training_run",
    "gpt_teacher.sampler",
    "torch._dynamo",  # which every optimizer imports when it is made
    "tokenizers",
    "tqdm",
    "filelock",  # and the HTTP of the Hub's client
    "httpx2" if importlib.util.find_spec("httpx2") else "httpx",
)
LONGEST_SECONDS = 60  # a command that hangs is killed then


def serve() -> None:
    for module in HEAVY_MODULES:
        importlib.import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            status = os.waitpid(request["wait"], 0)[1]
            reply = os.waitstatus_to_exitcode(status)
        else:
            reply = os.fork()
            if reply == 0:
                become(**request)
        sys.stdout.write(f"{reply}\n")
        sys.stdout.flush()


def become(
    module: str,
    arguments: list[str],
    folder: str,
    streams: list[str],
    environment: dict[str, str] | None,
) -> None:
    """Be the process of `python -m module arguments` in a folder; never returns.

    With an environment, it has those variables and no others. The client of the Hub reads them
    when it is imported: this server must not import it.
    """
    if environment is not None:
        os.environ.clear()
        os.environ.update(environment)
    signal.alarm(LONGEST_SECONDS)
    os.chdir(folder)
    flags = (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)
    for number, (path, flag) in enumerate(zip(streams, flags, strict=True)):
        os.dup2(os.open(path, flag), number)
    sys.stdin = os.fdopen(0, encoding="ascii")  # as on a machine that does not speak UTF-8
    sys.stdout = os.fdopen(1, "w", encoding="ascii")
    sys.stderr = os.fdopen(2, "w", encoding="ascii", errors="backslashreplace")
    sys.argv = [module, *arguments]
    sys.path.insert(0, folder)
    code: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  what the interpreter itself does at the top
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve()
