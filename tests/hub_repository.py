"""A repository of the Hub for tests: commits, branches, tags, files. 测试用仓库。"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

import yaml

Kind = Literal["model", "dataset", "space"]

# Suffixes that the .gitattributes of a new repository gives to LFS (here: those of models).
LFS_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".onnx", ".gguf", ".ckpt", ".npz", ".zip")
LFS_MIN_BYTES = 10_000_000  # the Hub takes no larger file into git itself
GITATTRIBUTES = "".join(
    f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES
)


class HubError(Exception):
    """A refusal, with the headers by which the client tells its kind. 拒绝请求。"""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,  # RepoNotFound, RevisionNotFound, EntryNotFound or GatedRepo
        headers: dict[str, str] | None = None,
        **body: object,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {
            "X-Error-Message": message,
            "X-Request-Id": "Root=1-test",
            **(headers or {}),
        }
        if code is not None:
            self.headers["X-Error-Code"] = code
        self.body = {"error": message, **body}


class StoredFile(NamedTuple):
    """A file of a commit; the hub keeps its bytes under oid. 提交中的文件。"""

    oid: str  # SHA-256 if LFS, else the SHA-1 that git gives
    size: int  # bytes
    is_lfs: bool


@dataclass(frozen=True)
class Commit:
    """A state of all files. 一次提交。"""

    sha: str
    parent: str | None
    files: dict[str, StoredFile]
    title: str
    message: str
    date: str


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


def git_sha1(content: bytes) -> str:
    """The name that git gives to a file of these bytes. 文件的 git 编号。"""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def front_matter(text: str) -> dict[str, object]:
    """The YAML between the two `---` at the top of a card; raises yaml.YAMLError. 卡片元数据。"""
    match = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    metadata = yaml.safe_load(match[1]) if match else None
    return metadata if isinstance(metadata, dict) else {}


class Repository:
    """A model, dataset or Space. 一个仓库。"""

    def __init__(self, kind: Kind, repo_id: str, blobs: dict[str, bytes], private: bool) -> None:
        self.kind, self.repo_id, self.private = kind, repo_id, private
        self.gated: str | bool = False  # "auto", "manual" or False
        self.granted: set[str] = set()  # users who may read a gated repository
        self.blobs = blobs  # of the whole hub: oid -> bytes
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, str] = {}  # name -> sha; pull requests are named refs/pr/N
        self.tags: dict[str, str] = {}  # name -> sha
        self.created = now()
        self.commit(
            "main", {".gitattributes": self.store(GITATTRIBUTES.encode())}, "initial commit"
        )

    @property
    def owner(self) -> str:
        return self.repo_id.split("/")[0]

    @property
    def n_pull_requests(self) -> int:
        return sum(name.startswith("refs/pr/") for name in self.branches)

    @property
    def files(self) -> dict[str, StoredFile]:
        """The files of main. 主分支的文件。"""
        return self.commits[self.branches["main"]].files

    def read(self, path: str, revision: str = "main") -> bytes:
        """The bytes of a file, for tests to look at. 文件内容。"""
        return self.blobs[self.commits[self.resolve(revision)].files[path].oid]

    def store(self, content: bytes, is_lfs: bool = False) -> StoredFile:
        """Keep a file. 存入文件。"""
        oid = hashlib.sha256(content).hexdigest() if is_lfs else git_sha1(content)
        self.blobs[oid] = content
        return StoredFile(oid, len(content), is_lfs)

    def commit(
        self, branch: str, files: dict[str, StoredFile], title: str, message: str = ""
    ) -> Commit:
        """Make a branch show these files. 提交。"""
        parent = self.branches.get(branch)
        content = json.dumps([self.repo_id, parent, sorted(files.items()), title, time.time_ns()])
        sha = hashlib.sha1(content.encode()).hexdigest()
        self.commits[sha] = Commit(sha, parent, files, title, message, now())
        self.branches[branch] = sha
        return self.commits[sha]

    def resolve(self, revision: str) -> str:
        """The commit that a branch, a tag or the beginning of a commit stands for. 解析版本。"""
        sha = self.branches.get(revision) or self.tags.get(revision)
        if sha is None and len(revision) >= 7:
            sha = next((sha for sha in self.commits if sha.startswith(revision)), None)
        if sha is None:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha

    def history(self, revision: str) -> list[Commit]:
        """The commits of a revision, newest first. 提交历史。"""
        commits = [self.commits[self.resolve(revision)]]
        while commits[-1].parent is not None:
            commits.append(self.commits[commits[-1].parent])
        return commits

    def upload_mode(self, path: str, size: int) -> Literal["lfs", "regular"]:
        return "lfs" if path.endswith(LFS_SUFFIXES) or size > LFS_MIN_BYTES else "regular"

    def entry(self, path: str, stored: StoredFile) -> dict[str, object]:
        """A file as `tree` and `paths-info` tell it. 文件条目。"""
        entry = {"type": "file", "path": path, "size": stored.size, "oid": stored.oid}
        if stored.is_lfs:
            entry["oid"] = hashlib.sha1(stored.oid.encode()).hexdigest()  # of the pointer file
            entry["lfs"] = {"oid": stored.oid, "size": stored.size, "pointerSize": 134}
        return entry

    def tree(self, revision: str, folder: str, recursive: bool) -> list[dict[str, object]]:
        """The files and folders of a folder ("": the whole repository). 目录树。"""
        top = PurePosixPath(folder)
        files, folders = [], set()
        for path, stored in sorted(self.commits[self.resolve(revision)].files.items()):
            above = list(PurePosixPath(path).parents)  # nearest first, last "."
            if top not in above:
                continue
            below_top = above[: above.index(top)]
            folders.update(below_top if recursive else below_top[-1:])
            if recursive or not below_top:
                files.append(self.entry(path, stored))
        if folder and not files and not folders:
            raise HubError(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        return files + [
            {"type": "directory", "path": str(path), "size": 0, "oid": git_sha1(bytes(path))}
            for path in sorted(folders)
        ]

    def card_metadata(self, commit: Commit) -> dict[str, object]:
        stored = commit.files.get("README.md")
        return front_matter(self.blobs[stored.oid].decode()) if stored else {}

    def info(self, revision: str, with_blobs: bool) -> dict[str, object]:
        """The repository as `repo_info` reads it. 仓库信息。"""
        commit = self.commits[self.resolve(revision)]
        card = self.card_metadata(commit)
        return {
            "_id": git_sha1(self.repo_id.encode())[:24],
            "id": self.repo_id,
            "author": self.owner,
            "sha": commit.sha,
            "private": self.private,
            "gated": self.gated,
            "disabled": False,
            "createdAt": self.created,
            "lastModified": commit.date,
            "downloads": 0,
            "likes": 0,
            "tags": card.get("tags", []),
            "cardData": card,
            "siblings": [
                self._sibling(path, stored, with_blobs)
                for path, stored in sorted(commit.files.items())
            ],
        }

    def _sibling(self, path: str, stored: StoredFile, with_blobs: bool) -> dict[str, object]:
        if not with_blobs:
            return {"rfilename": path}
        sibling = {
            "rfilename": path,
            "size": stored.size,
            "blobId": self.entry(path, stored)["oid"],
        }
        if stored.is_lfs:
            sibling["lfs"] = {"sha256": stored.oid, "size": stored.size, "pointerSize": 134}
        return sibling
