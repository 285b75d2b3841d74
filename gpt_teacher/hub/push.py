"""A folder -> one commit of a repository: look before, publish, look again. 发布。"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import RepositoryNotFoundError

from gpt_teacher import Origin
from gpt_teacher.errors import HubError
from gpt_teacher.hub.connection import Say, call
from gpt_teacher.hub.files import RemoteFiles, belongs, files_in, is_model
from gpt_teacher.hub.login import api
from gpt_teacher.hub.pull import pull

MESSAGE = "Publish with GPT Teacher"
LOOK_SECONDS = 30.0
TAG = re.compile(r"[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
SPACE_FOLDERS = ("gpt_teacher/", "scripts/", "pretrained/", "tokenizer/", "data/")


@dataclass(frozen=True)
class Repository:
    """Where to publish. 目标仓库。"""

    repo_id: str
    kind: Literal["model", "space"] = "model"

    @property
    def address(self) -> str:
        """Return the address of its page. 网址。"""
        spaces = "spaces/" if self.kind == "space" else ""
        return f"{api().endpoint}/{spaces}{self.repo_id}"

    def owns(self, path: str) -> bool:
        """Tell whether a file that we do not publish any more is to be deleted. 是否归我们管。"""
        return belongs(path) if self.kind == "model" else path.startswith(SPACE_FOLDERS)


@dataclass(frozen=True)
class PushOptions:
    """How to publish. 发布方式。"""

    tag: str | None = None
    private: bool = False
    create_pr: bool = False  # propose it to somebody else's repository
    force: bool = False  # publish over other files, or what has changed since the look; move a tag

    def __post_init__(self) -> None:
        """Look before anything is published. 先检查。Raises HubError."""
        tag = self.tag
        if tag is None:
            return
        if self.create_pr:
            raise HubError("--tag names what is published, --create-pr only proposes: give one")
        if not TAG.fullmatch(tag) or ".." in tag or tag.endswith((".", ".lock")) or tag == "main":
            raise HubError(
                f"--tag {tag!r}: give a name of letters, digits, - _ and . (not main, which is the "
                f"newest version), for example: v1"
            )


@dataclass(frozen=True)
class Published:
    """What has come of it. 发布结果。"""

    repository: Repository
    commit: str
    address: str  # of the repository, or of the pull request
    changed: list[str]  # paths uploaded or deleted; empty = all was there already


def publish(folder: Path, repository: Repository, options: PushOptions, say: Say) -> Published:
    """Publish a folder as one commit of a model; only what differs is uploaded. 发布模型。

    A failure leaves the repository as it was; running it again goes on. Raises HubError.
    """
    before = remote_files(repository, say)
    if before is None:
        say(f"新建仓库 / creating {repository.repo_id}")
        make = api().create_repo
        doing = f"creating {repository.repo_id}"
        call(say, doing, make, repository.repo_id, private=options.private, exist_ok=True)
        before = remote_files(repository, say)
        assert before is not None, "it has just been made"
    else:
        _check_may_replace(repository, before, options)
    published = commit_folder(folder, repository, before, options, say)
    if options.tag:
        _tag(repository.repo_id, options, published.commit, say)
    return published


def _check_may_replace(repository: Repository, before: RemoteFiles, options: PushOptions) -> None:
    """Raise HubError if it is public, or holds somebody's work that is no model of ours."""
    if options.private and not before.private:
        raise HubError(
            f"{repository.repo_id} is public already; make it private on its settings page, "
            f"{repository.address}/settings, then push without --private"
        )
    others, is_asked_for = before.own_files(), options.force or options.create_pr
    if others and not is_asked_for and not is_model(list(before.fingerprints)):
        raise HubError(
            f"{repository.repo_id} holds other files, no model of this project ({others[0]}); "
            f"nothing was changed: choose a new name, or --force to publish over them"
        )


def remote_files(
    repository: Repository, say: Say, revision: str | None = None
) -> RemoteFiles | None:
    """Return what the repository holds; None = there is no such repository (yet). 远端文件。"""
    return call(say, f"looking at {repository.repo_id}", _ask_for_files, repository, revision)


def published_model(repository: Repository, revision: str | None, say: Say) -> RemoteFiles:
    """Return the files of a published model. 已发布的模型。Raises HubError if it is none."""
    files = remote_files(repository, say, revision)
    if files is None or not is_model(list(files.fingerprints)):
        raise HubError(
            f"{repository.repo_id} is no published model; publish it first: "
            f"python -m scripts.push_to_hub --repo-id {repository.repo_id}"
        )
    return files


def _ask_for_files(repository: Repository, revision: str | None) -> RemoteFiles | None:
    try:
        info = api().repo_info(
            repository.repo_id,
            revision=revision,
            repo_type=repository.kind,
            files_metadata=True,
            timeout=LOOK_SECONDS,
        )
    except RepositoryNotFoundError:
        return None
    return RemoteFiles.of(info)


def commit_folder(
    folder: Path, repository: Repository, before: RemoteFiles, options: PushOptions, say: Say
) -> Published:
    """Make the repository hold what the folder holds, in one commit or none. 一次提交。"""
    ours = files_in(folder)
    stale = [p for p in before.fingerprints if repository.owns(p) and p not in ours]
    changed = [*before.differing(folder, ours), *stale]
    if not changed:
        return Published(repository, before.commit, repository.address, [])
    say(f"上传 {len(changed)} 个文件 / uploading {len(changed)} of {len(ours)} files")
    commit = _committer(folder, repository, changed, before, options)
    try:
        oid, pull_request = call(say, f"publishing to {repository.repo_id}", commit)
    except HubError as error:
        now = None if options.create_pr else remote_files(repository, say)
        if now is None:
            raise
        if now.differing(folder, ours):
            if now.commit != before.commit:
                raise HubError(_who_was_faster(repository, say), 412) from None
            raise error
        oid, pull_request = now.commit, ""  # it arrived, only the answer was lost
    return Published(repository, oid, pull_request or repository.address, changed)


def _committer(
    folder: Path,
    repository: Repository,
    changed: list[str],
    before: RemoteFiles,
    options: PushOptions,
) -> Callable[[], tuple[str, str]]:
    """Return the function that tries to commit: -> (commit, address of the pull request or "")."""

    def commit() -> tuple[str, str]:
        operations: list[CommitOperationAdd | CommitOperationDelete] = []
        for path in changed:  # made anew for each try: the client writes into them
            file = folder / path
            operations.append(
                CommitOperationAdd(path, file) if file.is_file() else CommitOperationDelete(path)
            )
        done = api().create_commit(
            repository.repo_id,
            operations,
            commit_message=MESSAGE,
            repo_type=repository.kind,
            parent_commit=None if options.force or options.create_pr else before.commit,
            create_pr=options.create_pr,
        )
        return done.oid, done.pr_url or ""

    return commit


def _who_was_faster(repository: Repository, say: Say) -> str:
    commits = call(
        say,
        f"looking at {repository.repo_id}",
        api().list_repo_commits,
        repository.repo_id,
        repo_type=repository.kind,
    )
    newest = commits[0]
    return (
        f"{repository.repo_id} has changed meanwhile: {newest.title!r} by "
        f"{', '.join(newest.authors)}, {newest.created_at:%Y-%m-%d %H:%M} UTC. Nothing was "
        f"overwritten. Look at it; the same command once more publishes over it"
    )


def _tag(repo_id: str, options: PushOptions, commit: str, say: Say) -> None:
    """Give the commit a name; one that another commit has is not taken away without --force."""
    client, tag, doing = api(), str(options.tag), f"tagging {repo_id}"
    now = _commit_of_tag(repo_id, tag, say)
    if now == commit:
        say(f"标签 {tag} 已在这个版本上 / tagged {tag} already")
        return
    if now is not None and not options.force:
        raise HubError(
            f"{repo_id} has a tag {tag} already, of another commit; the model is published, "
            f"but not tagged: choose another --tag, or --force to move it"
        )
    if now is not None:
        call(say, doing, client.delete_tag, repo_id, tag=tag)
    try:
        call(say, doing, client.create_tag, repo_id, tag=tag, revision=commit)
    except HubError as error:
        if error.status != 409 or _commit_of_tag(repo_id, tag, say) != commit:
            raise  # else it arrived, only the answer was lost
    say(f"标签 {tag} / tagged {tag}")


def _commit_of_tag(repo_id: str, tag: str, say: Say) -> str | None:
    tags = call(say, f"looking at the tags of {repo_id}", api().list_repo_refs, repo_id).tags
    return next((one.target_commit for one in tags if one.name == tag), None)


@contextmanager
def pulled_back(published: Published, folder: Path, say: Say) -> Iterator[Origin]:
    """Fetch what was published into an empty cache, compared, while it is needed. 拉回来核对。

    Raises HubError if it is not what the folder holds.
    """
    repo_id = published.repository.repo_id
    with tempfile.TemporaryDirectory(prefix="gpt-teacher-", ignore_cleanup_errors=True) as cache:
        pulled = pull(repo_id, published.commit, cache=Path(cache), say=say)
        different = [
            path
            for path in files_in(folder)
            if not (pulled.folder / path).is_file()
            or (pulled.folder / path).read_bytes() != (folder / path).read_bytes()
        ]
        if different:
            raise HubError(
                f"{repo_id} does not hold what was published: {', '.join(different)}; "
                f"run the command again"
            )
        yield pulled
