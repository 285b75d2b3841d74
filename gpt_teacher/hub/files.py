"""The files of a repository and their fingerprints. 仓库里的文件与指纹。

Large files are known to the Hub by their SHA-256, small ones by the SHA-1 that git gives them. The
client compares sizes only; we compare these.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from gpt_teacher.atomic import replace_folder
from gpt_teacher.card.layout import (
    CARD_FILE,
    LICENCE_FILE,
    LOSS_CURVE_FILE,
    QUANTIZED_FOLDER,
)
from gpt_teacher.errors import HubError

# What a checkpoint consists of, root and quantized/ alike; other files of a repository stay there.
PATTERNS = (
    *("*.safetensors", "*.json", "*.jsonl", "*.yaml", "*.jinja", "tokenizer.model"),
    *(CARD_FILE, LICENCE_FILE, LOSS_CURVE_FILE),
)
ALL_PATTERNS = [*PATTERNS, *(f"{QUANTIZED_FOLDER}/{pattern}" for pattern in PATTERNS)]
NEEDED = ("model.safetensors", "config.json", "config.yaml")  # without them nothing opens
TOKENIZERS = ("tokenizer.json", "tokenizer.model")  # one of them
MADE_BY_HUB = (CARD_FILE, ".gitattributes")  # what a new repository may begin with
LEFT_BY_MACOS = (".DS_Store", "._*")  # by looking at a folder, and on sticks beside each file
SHA256_DIGITS = 64


def belongs(path: str) -> bool:
    """Tell whether a path of a repository is part of a checkpoint. 是否属于检查点。"""
    folder, _, name = path.rpartition("/")
    is_hidden = name.startswith(".")  # ._config.json, which macOS puts beside config.json
    is_named = not is_hidden and any(fnmatch(name, pattern) for pattern in PATTERNS)
    return is_named and folder in ("", QUANTIZED_FOLDER)


def is_model(paths: list[str]) -> bool:
    """Tell whether these files make a model of this project. 文件是否齐全。"""
    return all(name in paths for name in NEEDED) and any(name in paths for name in TOKENIZERS)


def files_in(folder: Path) -> list[str]:
    """Return the paths of a folder's files, written as a repository does. 文件列表。"""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def write_folder(target: Path, files: dict[str, bytes], mark: str | None) -> None:
    """Put a folder of these files on the disk, in one piece. 写出文件夹。

    In its place there may be nothing, an empty folder, or one made so before: with the file `mark`
    and no files but these. Without a mark whatever is there is replaced: the folder is ours.
    Raises HubError.
    """
    if mark is not None:
        _check_free(target, files, mark)
    try:
        replace_folder(target, files)
    except OSError as error:
        raise HubError(
            f"cannot write {target}: {error.strerror or error}; free some space, or name another "
            f"folder with --output FOLDER"
        ) from None


def _check_free(target: Path, files: dict[str, bytes], mark: str) -> None:
    if target.name in ("", ".."):  # like . and E:\, in whose place no folder can be put
        raise HubError(
            f"{target} has no name of its own; nothing was written: name a new folder in it, for "
            f"example: --output {target / 'demo'}"
        )
    paths = target.rglob("*") if target.is_dir() else ()
    found = [p for p in paths if p.is_file() and not any(map(p.match, LEFT_BY_MACOS))]
    others = [p for p in found if p.relative_to(target).as_posix() not in files]
    if target.is_file() or others or (found and not (target / mark).is_file()):
        held = (others or found or [target])[0].name
        raise HubError(
            f"{target} is in the way (it holds {held}); nothing was written: name a new folder "
            f"with --output FOLDER"
        )


@dataclass(frozen=True)
class RemoteFiles:
    """What a repository holds at one commit. 某次提交的文件。"""

    commit: str
    private: bool
    fingerprints: dict[str, str]  # path -> SHA-256 or git's SHA-1

    @classmethod
    def of(cls, info: Any) -> RemoteFiles:
        """Read them from the client's repo_info(files_metadata=True). 读取。"""
        siblings = info.siblings or []
        fingerprints = {
            one.rfilename: one.lfs.sha256 if one.lfs else one.blob_id for one in siblings
        }
        return cls(info.sha, bool(info.private), fingerprints)

    def own_files(self) -> list[str]:
        """Return the files but for those that the Hub itself makes. 别人放进去的文件。"""
        return [path for path in self.fingerprints if path not in MADE_BY_HUB]

    def differing(self, folder: Path, paths: list[str]) -> list[str]:
        """Return which paths are missing in a folder, or are other files there. 不一致的文件。"""
        return [path for path in paths if not same(folder / path, self.fingerprints.get(path))]


def same(path: Path, fingerprint: str | None) -> bool:
    """Tell whether a file has this fingerprint. 指纹是否一致。"""
    if fingerprint is None or not path.is_file():
        return False
    content = path.read_bytes()
    if len(fingerprint) == SHA256_DIGITS:
        return hashlib.sha256(content).hexdigest() == fingerprint
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == fingerprint
