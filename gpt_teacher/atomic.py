"""Files that are whole or not there: temp file, fsync, rename. 要么完整，要么不变的写入。"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from gpt_teacher.errors import CheckpointError

# Seconds between tries: on Windows nothing is renamed while anyone, like an antivirus, reads it.
PAUSES = (0.1, 0.3, 1.0) if os.name == "nt" else ()


def replace_file(path: Path, content: bytes) -> None:
    """Put content in the place of a file, whole or not at all. 整体替换文件。Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    try:
        _write(temporary, content)
        patiently(temporary.replace, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def replace_folder(folder: Path, files: dict[str, bytes], previous: Path | None = None) -> None:
    """Put a folder of these files in the place of another, or change nothing. 整体替换文件夹。

    With `previous`, a copy of the folder that was there is kept under that name, made before
    anything changes. Raises OSError.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _undo_swap(folder)
    if previous is not None and folder.exists():
        files_before = {f.relative_to(folder): f for f in folder.rglob("*") if f.is_file()}
        replace_folder(previous, {n.as_posix(): f.read_bytes() for n, f in files_before.items()})
    new, old = _beside(folder, "new"), _beside(folder, "old")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir()
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)  # like quantized/config.json
            _write(new / name, content)
        _sync_folder(new)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    _swap(folder, new, old)
    _sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _swap(folder: Path, new: Path, old: Path) -> None:
    """Rename folder to old and new to folder. 换上新文件夹。"""
    for is_last in (False, True):
        shutil.rmtree(old, ignore_errors=True)  # left by a crash, its successor in its place
        if folder.exists():
            patiently(folder.rename, old)
        try:
            patiently(new.rename, folder)
        except OSError:
            if is_last or not folder.exists():  # a reader may have taken this for a power cut,
                raise  # and put the old folder back
        else:
            return


def patiently(move: Callable[[Path], object], target: Path) -> None:
    """Rename or replace; on Windows wait a little for whoever has a file of it open. 改名。"""
    for seconds in PAUSES:
        try:
            move(target)
        except PermissionError:
            time.sleep(seconds)
        else:
            return
    move(target)


def finish_swap(folder: Path) -> None:
    """Undo a swap that a power cut left between its two renamings. 断电后的恢复。

    Raises CheckpointError if that cannot be done, as on a read-only stick.
    """
    try:
        _undo_swap(folder)
    except OSError as error:
        raise CheckpointError(
            f"cannot rename {_beside(folder, 'old')} to {folder}: {error.strerror}; copy the "
            f"folder {folder.parent} to where it can be written"
        ) from None


def _undo_swap(folder: Path) -> None:
    old = _beside(folder, "old")
    if old.exists() and not folder.exists():
        old.rename(folder)


def _beside(folder: Path, what: str) -> Path:
    return folder.parent / f".{folder.name}.{what}"  # not with_name: "." has no name


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Flush a folder's list of names, where the system can. 刷新目录。"""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
