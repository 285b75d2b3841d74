"""What the client's cache on this machine holds of a repository. 本机缓存。"""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download

from gpt_teacher.atomic import replace_file
from gpt_teacher.hub.failures import CLIENT_ERRORS
from gpt_teacher.hub.files import ALL_PATTERNS, files_in, is_model, same


def cached_model(repo_id: str, revision: str | None, cache: Path | None) -> Path | None:
    """Return the folder of a revision that is here, whole and undamaged; else None. 缓存的模型。

    Files are compared with the names of the blobs that they link to: their fingerprints. Where the
    system has no links, only their presence is checked. One link is followed, no further: that of a
    blob which came by Xet leads on to a store of all repositories, where it has another name.
    """
    folder = cached_folder(repo_id, revision or "main", cache)
    if folder is None or not is_model(files_in(folder)):
        return None
    for path in folder.rglob("*"):
        if path.is_symlink() and not same(path, path.readlink().name):
            forget(path)
            return None
    return folder


def cached_folder(repo_id: str, revision: str, cache: Path | None) -> Path | None:
    """Return the folder of a revision in the cache, whole or not. 缓存里的文件夹。"""
    try:
        found = snapshot_download(
            repo_id,
            revision=revision,
            cache_dir=cache,
            allow_patterns=ALL_PATTERNS,
            local_files_only=True,
        )
    except CLIENT_ERRORS:
        return None
    return Path(found)


def remember(folder: Path, revision: str) -> None:
    """Note which commit a branch or tag was, so that it opens offline, too. 记下版本。

    As the client does it, but after the whole set is here and checked.
    """
    reference = folder.parent.parent / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    replace_file(reference, folder.name.encode())


def forget(path: Path) -> None:
    """Take a damaged file out of the cache, so that it is fetched anew. 删去坏文件。

    With all links on the way to it: the client takes a link that is there for the file itself.
    """
    while path.is_symlink():
        link, path = path, path.parent / path.readlink()
        link.unlink()
    path.unlink(missing_ok=True)
