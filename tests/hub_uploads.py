"""How the Hub for tests takes uploads, commits, tags and branches. 上传。"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from hub_repository import HubError, Kind, Repository, StoredFile
from hub_wire import PATH_PREFIX, Reply, Request, route

if TYPE_CHECKING:
    from hub_server import HubServer

Files = dict[str, StoredFile]


@route("POST DELETE", "/api/{repository}/tag/{revision}")
def change_tag(hub: HubServer, request: Request, kind: Kind, repo_id: str, revision: str) -> object:
    repository = hub.writable(request, kind, repo_id)
    if request.method == "DELETE":  # here `revision` is the name of the tag
        return _remove(repository.tags, revision)
    return _add(repository.tags, request.json()["tag"], repository.resolve(revision), "Tag")


@route("POST DELETE", "/api/{repository}/branch/{revision}")
def change_branch(
    hub: HubServer, request: Request, kind: Kind, repo_id: str, revision: str
) -> object:
    repository = hub.writable(request, kind, repo_id)
    if request.method == "DELETE":
        return _remove(repository.branches, revision)
    start = (request.json() or {}).get("startingPoint") or "main"
    return _add(repository.branches, revision, repository.resolve(start), "Branch")


def _add(references: dict[str, str], name: str, sha: str, what: str) -> object:
    if name in references:
        raise HubError(409, f"{what} reference exists already: {name}")
    references[name] = sha
    return {}


def _remove(references: dict[str, str], name: str) -> object:
    if name not in references:
        raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")
    del references[name]
    return {}


@route("POST", "/api/{repository}/preupload/{revision}")
def plan_upload(
    hub: HubServer, request: Request, kind: Kind, repo_id: str, revision: str
) -> object:
    """Whether each file goes to LFS, and what it is now, so that equal files are left out."""
    repository = hub.writable(request, kind, repo_id, request.is_pull_request)
    files = repository.commits[repository.resolve(revision)].files
    return {
        "files": [
            {
                "path": file["path"],
                "uploadMode": repository.upload_mode(file["path"], file["size"]),
                "shouldIgnore": False,
                "oid": files[file["path"]].oid if file["path"] in files else None,
            }
            for file in request.json()["files"]
        ]
    }


@route("POST", "/{page}.git/info/lfs/objects/batch")
def lfs_batch(hub: HubServer, request: Request, kind: Kind, repo_id: str) -> object:
    """Where to put the LFS files that are not here yet. 上传地址。"""
    hub.writable(request, kind, repo_id, as_pull_request=True)  # it does not say for what it asks
    objects = []
    for wanted in request.json()["objects"]:
        answer = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in hub.blobs:
            answer["actions"] = {
                "upload": {"href": f"{hub.cdn_url}/_s3/{wanted['oid']}"},
                "verify": {"href": f"{hub.url}/_verify"},
            }
        objects.append(answer)
    return {"transfer": "basic", "objects": objects}


@route("PUT", "/_s3/{oid}")
def upload_blob(hub: HubServer, request: Request, oid: str) -> object:
    if "authorization" in request.headers:
        raise HubError(400, "the client sent its token to the storage")
    if request.sha256() != oid:
        raise HubError(400, "BadDigest: these bytes have another SHA-256")
    hub.blobs[oid] = request.body
    return Reply(200)


@route("POST", "/_verify")
def verify_blob(hub: HubServer, request: Request) -> object:
    asked = request.json()
    if len(hub.blobs.get(asked["oid"], b"")) != asked["size"]:
        raise HubError(404, "Object does not exist")
    return {}


@route("POST", "/api/{repository}/commit/{revision}")
def commit(hub: HubServer, request: Request, kind: Kind, repo_id: str, revision: str) -> object:
    as_pull_request = request.is_pull_request
    repository = hub.writable(request, kind, repo_id, as_pull_request)
    head, *operations = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    header, latest = head["value"], repository.commits[repository.resolve(revision)]
    if revision not in repository.branches:
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    if not latest.sha.startswith(header.get("parentCommit") or ""):
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    files = latest.files
    for operation in operations:
        files = changed(hub, repository, files, operation["key"], operation["value"])
    branch, url = revision, f"{hub.url}{PATH_PREFIX[kind]}{repo_id}"
    answer: dict[str, object] = {"success": True}
    if as_pull_request:
        number = repository.n_pull_requests + 1
        branch = f"refs/pr/{number}"
        repository.branches[branch] = latest.sha
        answer["pullRequestUrl"] = f"{url}/discussions/{number}"
    made = repository.commit(branch, files, header["summary"], header.get("description") or "")
    return {**answer, "commitOid": made.sha, "commitUrl": f"{url}/commit/{made.sha}"}


def changed(
    hub: HubServer, repository: Repository, files: Files, key: str, value: dict[str, str]
) -> Files:
    """The files after one operation of a commit. 应用一项修改。"""
    path = value["path"]
    if key == "file":
        return {**files, path: repository.store(base64.b64decode(value["content"]))}
    if key == "lfsFile":
        content = hub.lfs_blob(value["oid"], int(value.get("size") or 0))
        return {**files, path: StoredFile(value["oid"], len(content), is_lfs=True)}
    if key == "deletedFolder":
        folder = path.rstrip("/") + "/"
        return {path: file for path, file in files.items() if not path.startswith(folder)}
    if key != "deletedFile":
        raise HubError(400, f"unknown operation {key}")
    if path not in files:
        raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
    return {other: file for other, file in files.items() if other != path}
