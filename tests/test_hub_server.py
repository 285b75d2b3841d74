"""The Hub for tests behaves, to the real client, as the Hub does."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
from hub_faults import refused_endpoint, silent_endpoint, web_page_endpoint
from hub_server import HubServer, client_environment
from hub_space import Build
from huggingface_hub import HfApi, ModelCard, constants, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import httpx

# The client (2.4) does so itself when it uploads by LFS; pytest would make it an error.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "teacher/lesson"
WEIGHTS = bytes(range(256)) * 500
CARD = "---\nlicense: mit\ntags: [课堂]\n---\n# 魑魅，hello world 🙂\n"


@pytest.fixture(autouse=True)
def client_without_xet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The client of this process uploads by LFS, asks no proxy and shows no progress."""
    for name in [name for name in os.environ if name.upper().endswith("_PROXY")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model as one would push it."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "model.safetensors").write_bytes(WEIGHTS)
    (path / "README.md").write_text(CARD, encoding="utf-8")
    return path


def client(hub: HubServer, token: str | bool = "hf_write") -> HfApi:
    return HfApi(endpoint=hub.url, token=token)


def download(hub: HubServer, cache: Path, name: str = "model.safetensors", **where: str) -> bytes:
    path = hf_hub_download(REPO, name, endpoint=hub.url, cache_dir=cache, token=False, **where)
    return Path(path).read_bytes()


def refusal(call: Callable[[], object]) -> int:
    with pytest.raises(HfHubHTTPError) as caught:
        call()
    return int(caught.value.response.status_code)


# ---------------------------------------------------------------- push and pull


def test_a_folder_comes_back_by_lfs_byte_for_byte(
    hub: HubServer, folder: Path, tmp_path: Path
) -> None:
    api = client(hub)
    api.create_repo(REPO)
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert len(hub.requested("PUT", "/_s3/")) == 1
    assert download(hub, tmp_path / "cache") == WEIGHTS
    assert download(hub, tmp_path / "cache", "README.md").decode() == CARD
    info = api.model_info(REPO, files_metadata=True)
    assert info.card_data.tags == ["课堂"]
    assert {file.rfilename: file.size for file in info.siblings}["model.safetensors"] == len(
        WEIGHTS
    )
    assert api.verify_repo_checksums(REPO, local_dir=folder).checked_count == 2


def test_a_folder_comes_back_by_xet_byte_for_byte(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("hf_xet")
    program = """
import sys
from huggingface_hub import HfApi, hf_hub_download
api, (repo, folder) = HfApi(), sys.argv[1:]
api.create_repo(repo)
first = api.upload_folder(repo_id=repo, folder_path=folder).oid
assert api.upload_folder(repo_id=repo, folder_path=folder).oid == first
content = open(hf_hub_download(repo, "model.safetensors"), "rb").read()
assert content == open(folder + "/model.safetensors", "rb").read()
"""
    with HubServer(xet=True) as hub:
        environment = client_environment(hub, tmp_path / "home", token="hf_write", xet=True)
        arguments = [sys.executable, "-c", program, REPO, str(folder)]
        subprocess.run(arguments, env=environment, check=True, timeout=60)
        assert hub.requested("GET", "xet-write-token")
        assert hub.requested("GET", "xet-read-token")
        assert not hub.requested("PUT", "/_s3/")
        assert not hub.requested("GET", "/_cdn/")
        assert download(hub, tmp_path / "cache") == WEIGHTS  # and to a client without Xet


def test_a_second_push_of_the_same_files_makes_no_commit(hub: HubServer, folder: Path) -> None:
    api = client(hub)
    api.create_repo(REPO)
    first = api.upload_folder(repo_id=REPO, folder_path=folder)
    second = api.upload_folder(repo_id=REPO, folder_path=folder)
    assert second.oid == first.oid
    assert len(api.list_repo_commits(REPO)) == 2  # with the one that made the repository


def test_a_commit_upon_a_stale_parent_is_412_and_changes_nothing(hub: HubServer) -> None:
    api = client(hub)
    api.create_repo(REPO)
    stale = api.model_info(REPO).sha
    api.upload_file(repo_id=REPO, path_in_repo="a", path_or_fileobj=b"a")

    def push() -> None:
        api.upload_file(repo_id=REPO, path_in_repo="b", path_or_fileobj=b"b", parent_commit=stale)

    assert refusal(push) == 412
    assert set(hub.model(REPO).files) == {".gitattributes", "a"}


def test_a_tag_keeps_what_main_has_lost(hub: HubServer, tmp_path: Path) -> None:
    api = client(hub)
    api.create_repo(REPO)
    api.upload_file(repo_id=REPO, path_in_repo="old", path_or_fileobj=b"1")
    api.create_tag(REPO, tag="v1.0")
    api.delete_file("old", repo_id=REPO)
    assert not api.file_exists(REPO, "old")
    assert download(hub, tmp_path, "old", revision="v1.0") == b"1"
    assert refusal(lambda: api.create_tag(REPO, tag="v1.0")) == 409
    api.create_tag(REPO, tag="v1.0", exist_ok=True)
    api.delete_tag(REPO, tag="v1.0")
    assert [tag.name for tag in api.list_repo_refs(REPO).tags] == []


def test_the_tree_has_files_and_folders(hub: HubServer) -> None:
    repository = hub.create(REPO)
    names = ["a", "int8/b", "int8/deep/c"]
    repository.commit("main", {name: repository.store(b"x") for name in names}, "files")
    api = client(hub)
    every = api.list_repo_tree(REPO, recursive=True)
    assert sorted(entry.path for entry in every) == sorted([*names, "int8", "int8/deep"])
    assert sorted(entry.path for entry in api.list_repo_tree(REPO)) == ["a", "int8"]
    inside = api.list_repo_tree(REPO, path_in_repo="int8")
    assert sorted(entry.path for entry in inside) == ["int8/b", "int8/deep"]


def test_a_stranger_may_only_propose(hub: HubServer) -> None:
    hub.create(REPO)
    api = client(hub, "hf_student")
    file = {"repo_id": REPO, "path_in_repo": "a", "path_or_fileobj": b"a"}
    assert refusal(lambda: api.upload_file(**file)) == 403
    proposal = api.upload_file(**file, create_pr=True)
    assert proposal.pr_revision == "refs/pr/1"
    assert api.file_exists(REPO, "a", revision="refs/pr/1")
    assert not api.file_exists(REPO, "a")


def test_a_card_is_checked_before_it_is_pushed(hub: HubServer) -> None:
    api = client(hub)
    api.create_repo(REPO)
    with pytest.raises(ValueError, match="Invalid metadata in README"):
        api.upload_file(repo_id=REPO, path_in_repo="README.md", path_or_fileobj=b"---\na: [\n---\n")
    assert ModelCard(CARD).data.license == "mit"


# ---------------------------------------------------------------- who may do what


@pytest.mark.parametrize(
    ("token", "repo_id", "expected"),
    [
        (False, REPO, 401),
        ("hf_wrong", REPO, 401),
        ("hf_read", REPO, 403),
        ("hf_fine_read", REPO, 403),
        ("hf_fine_write", "teacher/other", 403),
        ("hf_student", REPO, 403),
        ("hf_write", "class-4/lesson", 403),
    ],
)
def test_a_repository_is_not_made_for_everybody(
    hub: HubServer, token: str | bool, repo_id: str, expected: int
) -> None:
    assert refusal(lambda: client(hub, token).create_repo(repo_id)) == expected
    assert not hub.repositories


def test_a_repository_is_made_once(hub: HubServer) -> None:
    for repo_id, token in ((REPO, "hf_fine_write"), ("class-3/lesson", "hf_write")):
        api = client(hub, token)
        assert api.create_repo(repo_id).repo_id == repo_id
        assert refusal(lambda api=api, repo_id=repo_id: api.create_repo(repo_id)) == 409
        assert api.create_repo(repo_id, exist_ok=True).repo_id == repo_id


def test_whoami_tells_rights(hub: HubServer) -> None:
    told = {token: client(hub, token).whoami() for token in hub.tokens}
    assert {token: who["auth"]["accessToken"]["role"] for token, who in told.items()} == {
        "hf_write": "write",
        "hf_read": "read",
        "hf_fine_read": "fineGrained",
        "hf_fine_write": "fineGrained",
        "hf_student": "write",
        "hf_pro": "write",
    }
    assert [who["name"] for who in told.values() if who["isPro"]] == ["principal"]
    assert [org["name"] for org in told["hf_write"]["orgs"]] == ["class-3"]


def test_what_is_private_does_not_exist_for_others(hub: HubServer) -> None:
    hub.create(REPO, private=True)
    for token in (False, "hf_student"):
        for repo_id in (REPO, "teacher/none"):
            with pytest.raises(RepositoryNotFoundError):
                client(hub, token).model_info(repo_id)
    assert client(hub, "hf_read").model_info(REPO).private


def test_a_gated_repository_is_seen_by_all_and_read_by_those_let_in(hub: HubServer) -> None:
    repository = hub.create(REPO)
    client(hub).update_repo_settings(REPO, gated="manual")
    assert client(hub, False).model_info(REPO).gated == "manual"
    for token in (False, "hf_student"):
        with pytest.raises(GatedRepoError):
            client(hub, token).auth_check(REPO)
    repository.granted.add("student")
    client(hub, "hf_student").auth_check(REPO)


# ---------------------------------------------------------------- faults


def test_after_429_the_client_waits_and_succeeds(hub: HubServer) -> None:
    hub.create(REPO)
    hub.fault("/preupload/", status=429, headers={"Retry-After": "0"})
    started_at = time.perf_counter()
    client(hub).upload_file(repo_id=REPO, path_in_repo="a", path_or_fileobj=b"a")
    assert time.perf_counter() - started_at >= 1  # the client adds a second
    assert len(hub.requested("POST", "/preupload/")) == 2


def test_a_fault_may_pass_some_and_never_end(hub: HubServer) -> None:
    hub.create(REPO)
    api = client(hub)
    fault = hub.fault("/api/models/", method="GET", status=503, after=1, times=math.inf)
    api.model_info(REPO)
    assert [refusal(lambda: api.model_info(REPO)) for _ in range(3)] == [503, 503, 503]
    fault.times = 0
    api.model_info(REPO)


def test_an_expired_upload_address_ends_the_push(hub: HubServer, folder: Path) -> None:
    hub.create(REPO)
    hub.fault("/_s3/", method="PUT", status=403)
    with pytest.raises(RuntimeError, match="Error while uploading") as caught:
        client(hub).upload_folder(repo_id=REPO, folder_path=folder)
    assert "403" in str(caught.value.__cause__)
    client(hub).upload_folder(repo_id=REPO, folder_path=folder)  # asks for a new address
    assert hub.model(REPO).read("model.safetensors") == WEIGHTS


def test_a_lost_answer_is_no_lost_commit(hub: HubServer) -> None:
    hub.create(REPO)
    hub.fault("/commit/", cut=0)
    file = {"repo_id": REPO, "path_in_repo": "a", "path_or_fileobj": b"a"}
    with pytest.raises(httpx.RemoteProtocolError):
        client(hub).upload_file(**file)
    made = client(hub).upload_file(**file).oid
    assert hub.model(REPO).history("main")[0].sha == made
    assert len(hub.model(REPO).commits) == 2


def test_a_download_goes_on_after_a_cut(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    hub.create(REPO)
    client(hub).upload_folder(repo_id=REPO, folder_path=folder)
    hub.fault("/_cdn/", method="GET", cut=1000)
    assert download(hub, tmp_path / "cache") == WEIGHTS
    assert len(hub.requested("GET", "/_cdn/")) == 2


def test_a_range_is_served(hub: HubServer) -> None:
    repository = hub.create(REPO)
    repository.commit("main", {"a": repository.store(b"0123456789")}, "file")
    address = f"{hub.url}/{REPO}/resolve/main/a"
    for wanted, expected in (("bytes=4-", b"456789"), ("bytes=4-5", b"45")):
        request = urllib.request.Request(address, headers={"Range": wanted})
        with urllib.request.urlopen(request) as response:
            assert (response.status, response.read()) == (206, expected)


def test_the_client_takes_corrupt_bytes_of_the_right_size(
    hub: HubServer, folder: Path, tmp_path: Path
) -> None:
    """This is why our pull compares checksums."""
    hub.create(REPO)
    client(hub).upload_folder(repo_id=REPO, folder_path=folder)
    hub.fault("/_cdn/", corrupt=True)
    content = download(hub, tmp_path / "cache")
    assert len(content) == len(WEIGHTS)
    assert sum(a != b for a, b in zip(content, WEIGHTS, strict=True)) == 1


def test_a_delay_is_a_timeout_and_does_not_hold_up_the_end() -> None:
    started_at = time.perf_counter()
    with HubServer() as hub:
        hub.create(REPO)
        hub.fault("/api/models/", delay=60)
        with pytest.raises(httpx.ReadTimeout):
            client(hub).model_info(REPO, timeout=0.2)
    assert time.perf_counter() - started_at < 30


def test_endpoints_that_are_no_hub_fail_each_in_its_way() -> None:
    with silent_endpoint() as url, pytest.raises(httpx.ReadTimeout):
        HfApi(endpoint=url, token=False).model_info(REPO, timeout=0.2)
    with refused_endpoint() as url, pytest.raises(httpx.ConnectError):
        HfApi(endpoint=url, token=False).model_info(REPO)
    with web_page_endpoint() as url, pytest.raises(json.JSONDecodeError):
        HfApi(endpoint=url, token=False).model_info(REPO)


# ---------------------------------------------------------------- Spaces


def space(api: HfApi, repo_id: str, **settings: object) -> None:
    api.create_repo(repo_id, repo_type="space", space_sdk="gradio", **settings)


def push_app(api: HfApi, repo_id: str) -> None:
    api.upload_file(
        repo_id=repo_id, repo_type="space", path_in_repo="app.py", path_or_fileobj=b"pass\n"
    )


def test_a_gradio_space_costs_pro_or_takes_zero_gpu(hub: HubServer) -> None:
    api = client(hub)
    assert refusal(lambda: space(api, "teacher/demo")) == 402
    assert refusal(lambda: space(api, "teacher/demo", space_hardware="t4-small")) == 402
    space(api, "teacher/demo", space_hardware="zero-a10g")
    api.create_repo("teacher/page", repo_type="space", space_sdk="static")
    space(client(hub, "hf_pro"), "principal/demo")
    assert api.get_space_runtime("teacher/demo").requested_hardware == "zero-a10g"


def test_a_space_without_an_app_waits_for_one_and_then_builds(hub: HubServer) -> None:
    api = client(hub)
    hub.plan_build("teacher/demo", Build(building_polls=2))
    space(api, "teacher/demo", space_hardware="zero-a10g")
    assert api.get_space_runtime("teacher/demo").stage == "NO_APP_FILE"
    push_app(api, "teacher/demo")
    stages = [api.get_space_runtime("teacher/demo").stage for _ in range(4)]
    assert stages == ["BUILDING", "BUILDING", "RUNNING", "RUNNING"]
    api.pause_space("teacher/demo")
    assert api.get_space_runtime("teacher/demo").stage == "PAUSED"
    api.restart_space("teacher/demo")
    assert api.wait_for_space("teacher/demo", poll_interval=0.01).stage == "RUNNING"


def test_a_space_that_fails_tells_why(hub: HubServer) -> None:
    api, error = client(hub), "No @spaces.GPU function detected during startup"
    space(api, "teacher/demo", space_hardware="zero-a10g")
    push_app(api, "teacher/demo")
    log = ["启动\n", f"RuntimeError: {error}\n"]
    hub.plan_build("teacher/demo", Build(1, end="RUNTIME_ERROR", error=error, run_log=log))
    runtime = api.wait_for_space("teacher/demo", poll_interval=0.01)
    assert (runtime.stage, runtime.raw["errorMessage"]) == ("RUNTIME_ERROR", error)
    assert list(api.fetch_space_logs("teacher/demo")) == log
    assert list(api.fetch_space_logs("teacher/demo", build=True)) == ["===== Build Queued =====\n"]


def test_variables_come_back_and_secrets_do_not(hub: HubServer) -> None:
    api = client(hub)
    variables = [{"key": "MODEL_REPO_ID", "value": REPO}]
    space(api, "teacher/demo", space_hardware="zero-a10g", space_variables=variables)
    api.add_space_variable("teacher/demo", "MODEL_REVISION", "v1.0")
    api.add_space_secret("teacher/demo", "HF_TOKEN", "hf_secret")
    told = api.get_space_variables("teacher/demo")
    assert {key: variable.value for key, variable in told.items()} == {
        "MODEL_REPO_ID": REPO,
        "MODEL_REVISION": "v1.0",
    }
    assert list(api.get_space_secrets("teacher/demo")) == ["HF_TOKEN"]
    assert hub.space("teacher/demo").secrets["HF_TOKEN"]["value"] == "hf_secret"
    api.delete_space_variable("teacher/demo", "MODEL_REVISION")
    assert list(api.get_space_variables("teacher/demo")) == ["MODEL_REPO_ID"]


# ---------------------------------------------------------------- by hand


def test_the_server_started_by_hand_says_where_it_is_and_ends_by_ctrl_c() -> None:
    program = Path(__file__).with_name("hub_server.py")
    command = [sys.executable, program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as server:
        assert server.stdout is not None
        server.stdout.readline()
        words = server.stdout.readline().split()
        url = next(word.removeprefix("HF_ENDPOINT=") for word in words if "HF_ENDPOINT" in word)
        assert HfApi(endpoint=url, token="hf_write").whoami()["name"] == "teacher"
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 0
