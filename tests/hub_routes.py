"""What the Hub for tests answers, but for uploads: one function per address. 各接口。

The protocol is that of huggingface.co as its client, huggingface_hub 1.31 to 2.4, uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from hub_repository import HubError, Kind, Repository, front_matter
from hub_space import Space, check_price
from hub_wire import PATH_PREFIX, Reply, Request, route, serve

if TYPE_CHECKING:
    from hub_server import HubServer

# ---------------------------------------------------------------- accounts and repositories


@route("GET", "/api/whoami-v2")
def whoami(hub: HubServer, request: Request) -> object:
    return hub.signed_in(request).identity()


@route("POST", "/api/repos/create")
def create_repository(hub: HubServer, request: Request) -> object:
    token, asked = hub.signed_in(request), request.json()
    kind: Kind = asked.get("type") or "model"
    namespace = asked.get("organization") or token.user.name
    repo_id = f"{namespace}/{asked['name']}"
    url = f"{hub.url}{PATH_PREFIX[kind]}{repo_id}"
    if not token.may_write(repo_id):
        message = f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"'
        raise HubError(403, message)
    if (kind, repo_id) in hub.repositories:  # the client reads the address in this refusal
        raise HubError(409, f"You already created this {kind} repo: {repo_id}", url=url)
    private = asked.get("visibility") == "private"
    if kind != "space":
        hub.repositories[kind, repo_id] = Repository(kind, repo_id, hub.blobs, private)
        return {"url": url, "name": repo_id, "id": "1"}
    hardware = asked.get("hardware") or "cpu-basic"
    check_price(hub, request, asked["sdk"], hardware)
    space = Space(repo_id, hub.blobs, private, asked["sdk"], hardware)
    hub.repositories[kind, repo_id] = space
    space.build = hub.builds.get(repo_id, space.build)
    space.secrets.update({secret["key"]: secret for secret in asked.get("secrets") or []})
    space.variables.update({variable["key"]: variable for variable in asked.get("variables") or []})
    return {"url": url, "name": repo_id, "id": "1"}


@route("DELETE", "/api/repos/delete")
def delete_repository(hub: HubServer, request: Request) -> object:
    token, asked = hub.signed_in(request), request.json()
    repo_id = f"{asked.get('organization') or token.user.name}/{asked['name']}"
    repository = hub.writable(request, asked.get("type") or "model", repo_id)
    del hub.repositories[repository.kind, repo_id]
    return {}


@route("PUT", "/api/{repository}/settings")
def change_settings(hub: HubServer, request: Request, kind: Kind, repo_id: str) -> object:
    repository, asked = hub.writable(request, kind, repo_id), request.json()
    repository.gated = asked.get("gated", repository.gated)
    if "private" in asked or "visibility" in asked:
        repository.private = asked.get("private") or asked.get("visibility") == "private"
    return {}


@route("POST", "/api/validate-yaml")
def validate_card(hub: HubServer, request: Request) -> object:
    try:
        metadata = front_matter(request.json()["content"])
    except yaml.YAMLError as error:
        return Reply.json({"errors": [{"message": f"YAML: {error}"}], "warnings": []}, status=400)
    warning = {"message": "empty or missing yaml metadata in repo card"}
    return {"errors": [], "warnings": [] if metadata else [warning]}


# ---------------------------------------------------------------- reading


@route("GET HEAD", "/api/{repository}(?:/revision/{revision})?")
def repository_info(
    hub: HubServer, request: Request, kind: Kind, repo_id: str, revision: str = "main"
) -> object:
    return hub.readable(request, kind, repo_id).info(revision, "blobs" in request.query)


@route("GET", "/api/{repository}/auth-check(?P<write>/write)?")
def check_access(
    hub: HubServer, request: Request, kind: Kind, repo_id: str, write: str = ""
) -> object:
    if write:
        hub.writable(request, kind, repo_id)
    else:
        hub.downloadable(request, kind, repo_id)
    return {}


@route("GET", "/api/{repository}/tree/{revision}(?:/{path})?")
def list_tree(
    hub: HubServer, request: Request, kind: Kind, repo_id: str, revision: str, path: str = ""
) -> object:
    recursive = request.query.get("recursive", "").lower() in ("true", "1")
    return hub.readable(request, kind, repo_id).tree(revision, path, recursive)


@route("POST", "/api/{repository}/paths-info/{revision}")
def describe_paths(
    hub: HubServer, request: Request, kind: Kind, repo_id: str, revision: str
) -> object:
    repository = hub.readable(request, kind, repo_id)
    files = repository.commits[repository.resolve(revision)].files
    wanted = request.form().get("paths", [])
    return [repository.entry(path, files[path]) for path in wanted if path in files]


@route("GET", "/api/{repository}/refs")
def list_references(hub: HubServer, request: Request, kind: Kind, repo_id: str) -> object:
    repository = hub.readable(request, kind, repo_id)
    branches, pull_requests, tags = [], [], []
    for name, sha in repository.branches.items():
        if name.startswith("refs/pr/"):
            pull_requests.append({"name": name, "ref": name, "targetCommit": sha})
        else:
            branches.append({"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha})
    for name, sha in repository.tags.items():
        tags.append({"name": name, "ref": f"refs/tags/{name}", "targetCommit": sha})
    return {"branches": branches, "tags": tags, "converts": [], "pullRequests": pull_requests}


@route("GET", "/api/{repository}/commits/{revision}")
def list_commits(
    hub: HubServer, request: Request, kind: Kind, repo_id: str, revision: str
) -> object:
    repository = hub.readable(request, kind, repo_id)
    return [
        {
            "id": commit.sha,
            "title": commit.title,
            "message": commit.message,
            "date": commit.date,
            "authors": [{"user": repository.owner}],
        }
        for commit in repository.history(revision)
    ]


@route("GET HEAD", "/{page}/resolve/{revision}/{path}")
def download(
    hub: HubServer, request: Request, kind: Kind, repo_id: str, revision: str, path: str
) -> object:
    """A file itself, or for LFS the address (on another origin) where it is. 下载。"""
    repository = hub.downloadable(request, kind, repo_id)
    commit = repository.commits[repository.resolve(revision)]
    headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    if path not in commit.files:
        raise HubError(404, "Entry not found", "EntryNotFound", headers)
    stored = commit.files[path]
    if not stored.is_lfs:
        return serve(request, hub.blobs[stored.oid], {**headers, "ETag": f'"{stored.oid}"'})
    headers["X-Linked-Etag"], headers["X-Linked-Size"] = f'"{stored.oid}"', str(stored.size)
    headers["Location"] = f"{hub.cdn_url}/_cdn/{stored.oid}"
    if hub.xet is not None and stored.oid in hub.xet.hashes:
        headers["X-Xet-Hash"] = hub.xet.hashes[stored.oid]
        refresh_path = f"/api/{kind}s/{repo_id}/xet-read-token/{commit.sha}"
        headers["X-Xet-Refresh-Route"] = hub.url + refresh_path
    return Reply(302, headers=headers)


@route("GET HEAD", "/_cdn/{oid}")
def download_blob(hub: HubServer, request: Request, oid: str) -> object:
    if "authorization" in request.headers:
        raise HubError(400, "the client sent its token to the CDN")
    return serve(request, hub.blobs[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})


@route("GET", "/api/{repository}/xet-(?P<access>read|write)-token/{revision}")
def xet_token(
    hub: HubServer, request: Request, kind: Kind, repo_id: str, access: str, revision: str
) -> object:
    if hub.xet is None:
        raise HubError(404, "this server has no Xet; start it with xet=True")
    if access == "write":
        hub.writable(request, kind, repo_id, request.is_pull_request)
    else:
        hub.downloadable(request, kind, repo_id)
    headers = hub.xet.headers()
    token = {
        "accessToken": headers["X-Xet-Access-Token"],
        "exp": int(headers["X-Xet-Token-Expiration"]),
        "casUrl": headers["X-Xet-Cas-Url"],
    }
    return Reply.json(token, headers=headers)
