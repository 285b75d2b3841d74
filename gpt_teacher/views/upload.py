"""An upload that is read once and leaves no file; the last few stay in memory. 读完就删的上传。"""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

from gpt_teacher.views.quick_gradio import gr


def passing_upload(label: str, file_types: list[str], elem_id: str) -> gr.UploadButton:
    """Return a button whose event gets the bytes of a file, which is deleted at once. 上传按钮。

    Gradio itself keeps uploads until the server ends. (A subclass would not do: for each, Gradio
    writes a .pyi file beside the source.)
    """
    button = gr.UploadButton(label, file_types=file_types, type="binary", elem_id=elem_id)
    button.preprocess = _read_and_delete
    return button


def _read_and_delete(payload: Any) -> bytes | None:
    if payload is None:
        return None
    path = Path(payload.path)  # Gradio has made sure that it lies in its own folder of uploads
    try:
        return _content(path)
    except FileNotFoundError:
        return None
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()


@functools.lru_cache(maxsize=4)
def _content(path: Path) -> bytes:
    """Return what a path holds, or has held. 文件内容。

    It is named after its content: a class that sends the same file sends one path, and whoever is
    read first has it deleted for all.
    """
    return path.read_bytes()
