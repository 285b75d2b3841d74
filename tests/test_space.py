"""deploy_space: the app online, with the model of the Hub that it serves and nothing private."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Commands, Finished, TinyRun
from hub_commands import REPO, HubCommands
from hub_faults import refused_endpoint
from hub_repository import StoredFile
from hub_server import HubServer, client_environment
from hub_space import Build
from huggingface_hub import SpaceCard

from gpt_teacher.errors import HubError
from gpt_teacher.hub.files import files_in
from gpt_teacher.hub.space_folder import project_files, split_requirements
from gpt_teacher.views import zero_gpu

SPACE = "teacher/app"
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
ZERO_GPU_PYTHONS = {"3.10.13", "3.12.12"}
START_SECONDS = 40
STAND_IN = """
import os, sys
from pathlib import Path
assert "torch" not in sys.modules, "ZeroGPU replaces parts of torch: it must come first"
def GPU(task):
    with Path(os.environ["RECORD"]).open("a", encoding="utf-8") as record:
        print(f"{task()}", file=record)
    return task
"""


@pytest.fixture
def hub(published: Path) -> Iterator[HubServer]:
    """A Hub that has the model."""
    with HubServer() as server:
        put(server, published)
        yield server


@pytest.fixture(scope="module")
def published(
    commands: Commands, tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What push_to_hub publishes of a finished run."""
    place = tmp_path_factory.mktemp("published")
    project = shutil.copytree(tiny_run.project, place / "project")
    owner = HubCommands(commands, project, place / "home")
    owner.pushed("http://127.0.0.1:9", "--dry-run", "--output", place / "model", token=None)
    return place / "model"


@pytest.fixture
def teacher(commands: Commands, tiny_project: Callable[..., Path], tmp_path: Path) -> HubCommands:
    return HubCommands(commands, tiny_project(), tmp_path / "home")


def put(hub: HubServer, folder: Path, private: bool = False) -> str:
    """Publish a folder as REPO, as if by an earlier command; return the commit."""
    repository = hub.create(REPO, private)
    files = {}
    for path in files_in(folder):
        content = (folder / path).read_bytes()
        files[path] = repository.store(content)
        if path.endswith(".safetensors"):
            files[path] = StoredFile(hashlib.sha256(content).hexdigest(), len(content), True)
            hub.blobs[files[path].oid] = content
    return repository.commit("main", repository.files | files, "published").sha


def model_commit(hub: HubServer) -> str:
    return hub.model(REPO).history("main")[0].sha


def deploy(
    teacher: HubCommands, endpoint: HubServer | str, *arguments: object, **how: str | None
) -> Finished:
    words = ("--repo-id", SPACE, "--model", REPO, *arguments)
    return teacher.run(endpoint, "deploy_space", *words, **how)


def deployed(teacher: HubCommands, hub: HubServer, *arguments: object) -> Finished:
    done = deploy(teacher, hub, "--zero-gpu", *arguments)
    assert done.code == 0, done.stderr
    return done


def spaces(hub: HubServer) -> list[str]:
    return [repo_id for kind, repo_id in hub.repositories if kind == "space"]


def variables(hub: HubServer) -> dict[str, str]:
    return {key: one["value"] for key, one in hub.space(SPACE).variables.items()}


def front_matter(folder: Path) -> dict[str, object]:
    return dict(SpaceCard((folder / "README.md").read_text(encoding="utf-8")).data.to_dict())


# ---------------------------------------------------------------- the folder


def test_the_folder_says_how_to_build_the_app_and_which_model_it_serves(
    hub: HubServer, teacher: HubCommands, published: Path
) -> None:
    done = deploy(teacher, hub, "--dry-run", "--output", "space", token=None)
    assert done.code == 0, done.stderr
    assert "nothing was published (--dry-run)" in done.stdout
    assert spaces(hub) == []
    folder, commit = teacher.project / "space", model_commit(hub)
    fields = front_matter(folder)
    pin = re.search(r"^gradio>=(\d+\.\d+),", (ROOT / "requirements.txt").read_text("utf-8"), re.M)
    assert pin is not None
    assert (fields["sdk"], fields["sdk_version"]) == ("gradio", f"{pin[1]}.0")
    assert fields["python_version"] in ZERO_GPU_PYTHONS
    assert {fields["colorFrom"], fields["colorTo"]} <= COLOURS
    assert len(str(fields["short_description"])) <= 60
    assert (folder / str(fields["app_file"])).is_file()
    assert fields["models"] == [REPO]
    # Who trained a model in the page may publish it, and nothing else of theirs can be touched.
    assert (fields["hf_oauth"], fields["hf_oauth_scopes"]) == (True, ["contribute-repos"])
    (preloaded,) = fields["preload_from_hub"]
    repo_id, paths, revision = preloaded.split(" ")
    assert (repo_id, revision) == (REPO, commit)
    assert sorted(paths.split(",")) == files_in(published)
    ours = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    others = (folder / "requirements.txt").read_text("utf-8").splitlines()
    assert others == [line for line in ours if not line.startswith("gradio")]
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    assert config["hub"] == {"repo_id": REPO, "revision": commit, "offline": False}
    app = {"host": "0.0.0.0", "port": 7860, "language": "zh", "training": True}
    assert config["app"] == app


def test_nothing_of_the_users_own_goes_online(tmp_path: Path) -> None:
    root = tmp_path / "project"
    for name in ("gpt_teacher", "scripts", "pretrained", "data", "tokenizer"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, root / name)
    untouched = project_files(root)
    assert {"app.py", "data/val.jsonl", "tokenizer/tokenizer.json"} <= set(untouched)
    assert "pretrained/last/model.safetensors" in untouched
    private = "三班的秘密"
    for name in (
        ".env",
        "checkpoints/last/metrics.json",
        "data/.ipynb_checkpoints/mine.jsonl",
        "data/mine.jsonl",
        "data/train.jsonl",  # the project's own has this name, but not this content
        "gpt_teacher/.ipynb_checkpoints/model.py",
        "gpt_teacher/notes.txt",
        "pretrained/last/notes.txt",
        "pretrained/mine/metrics.json",
        "runs/hub/teacher/demo/README.md",
        "scripts/mine.py",
        "tokenizer/mine.json",
        "tokenizer/tokenizer.json",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(private, encoding="utf-8")
    found = project_files(root)
    assert set(untouched) - set(found) == {"data/train.jsonl", "tokenizer/tokenizer.json"}
    assert found.items() <= untouched.items()


def test_paths_and_tokens_of_this_machine_do_not_go_online(
    hub: HubServer, teacher: HubCommands
) -> None:
    private = teacher.project / "私人文件夹" / "三班.jsonl"
    deploy(teacher, hub, "--dry-run", "--set", f"data.train_path={private}")
    folder = teacher.project / "runs/hub/spaces" / SPACE
    assert len(files_in(folder)) > 50
    for path in files_in(folder):
        content = (folder / path).read_bytes()
        assert "私人文件夹".encode() not in content, path
        assert b"hf_write" not in content, path


def test_a_folder_is_written_without_a_network_too(teacher: HubCommands) -> None:
    with refused_endpoint() as endpoint:
        done = deploy(teacher, endpoint, "--dry-run", "--output", "space", token=None)
    assert done.code == 0, done.stderr
    assert "the folder is written all the same, for main" in done.stderr
    fields = front_matter(teacher.project / "space")
    assert fields["models"] == [REPO]
    assert "preload_from_hub" not in fields


def test_the_folder_is_never_written_over_other_files(hub: HubServer, teacher: HubCommands) -> None:
    own = teacher.project / "mine"
    own.mkdir()
    (own / "app.py").write_text("print('我的网页')", encoding="utf-8")
    done = deploy(teacher, hub, "--dry-run", "--output", "mine")
    assert done.code == 2
    assert "mine is in the way (it holds app.py)" in done.stderr
    assert files_in(own) == ["app.py"]
    assert (own / "app.py").read_text(encoding="utf-8") == "print('我的网页')"
    for _ in range(2):  # one of ours is written anew
        assert deploy(teacher, hub, "--dry-run", "--output", "space").code == 0


def test_what_is_no_copy_of_the_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"app\.py and requirements\.txt missing in"):
        project_files(tmp_path)
    with pytest.raises(HubError, match=r"has no line gradio>=X\.Y,<Z"):
        split_requirements("torch>=2.8,<2.14\n")


# ---------------------------------------------------------------- the folder at work


@pytest.fixture(scope="module")
def page(
    commands: Commands,
    tiny_run: TinyRun,
    published: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, str, Path]]:
    """The app of a Space, started as the Hub does it: what it shows, its commit, a record.

    The files of preload_from_hub are in the cache, and there is no Hub any more.
    """
    place = tmp_path_factory.mktemp("space")
    home, record = place / "home", place / "record"
    with HubServer() as hub:
        commit = put(hub, published)
        owner = HubCommands(commands, shutil.copytree(tiny_run.project, place / "own"), home)
        assert deploy(owner, hub, "--dry-run", "--output", place / "app").code == 0
        (preloaded,) = front_matter(place / "app")["preload_from_hub"]
        repo_id, paths, revision = preloaded.split(" ")
        hf = Path(sys.executable).with_name("hf")
        words = [hf, "download", repo_id, *paths.split(","), "--revision", revision]
        environment = client_environment(hub, home)
        subprocess.run(words, env=environment, check=True, capture_output=True, timeout=60)
    (place / "library").mkdir()
    (place / "library/spaces.py").write_text(STAND_IN, encoding="utf-8")
    environment |= {
        "MODEL_REPO_ID": REPO,
        "MODEL_REVISION": commit,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(place / "library"),
        "PYTHONUNBUFFERED": "1",
        "RECORD": str(record),
        "SPACE_ID": SPACE,
    }
    words = [sys.executable, "app.py", "--set", "app.port=0", "--set", "app.host=127.0.0.1"]
    output = place / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            words, cwd=place / "app", env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield shown_by(process, output), commit, record
    finally:
        process.kill()
        process.wait()


def shown_by(process: subprocess.Popen[bytes], output: Path) -> str:
    """Wait for the page of a process; return its description, as the browser gets it."""
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at and process.poll() is None:
        url = re.search(r"http://127\.0\.0\.1:\d+", output.read_text("utf-8"))
        if url is not None:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{url[0]}/config", timeout=10) as answer:
                return str(yaml.safe_load(answer.read().decode()))
        time.sleep(0.1)
    pytest.fail(f"no page: {output.read_text('utf-8')}")


def test_the_folder_runs_and_serves_the_model_at_its_commit_without_asking_the_hub(
    page: tuple[str, str, Path],
) -> None:
    shown, commit, _ = page
    assert f"Hub 上的 `{REPO}`，提交 `{commit[:7]}`" in shown
    assert "注意：" not in shown  # nothing went wrong on the way


def test_zero_gpu_is_shown_one_function_that_does_nothing_before_torch_is_imported(
    page: tuple[str, str, Path],
) -> None:
    assert page[2].read_text(encoding="utf-8") == "None\n"


def test_a_folder_named_spaces_is_not_taken_for_zero_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python takes any folder on its path for a package: the app ended in an AttributeError."""
    (tmp_path / "spaces").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    zero_gpu.prepare_zero_gpu()
    assert "spaces" in sys.modules
    monkeypatch.delitem(sys.modules, "spaces")


# ---------------------------------------------------------------- made and updated


def test_a_space_is_made_on_zero_gpu_waited_for_and_the_second_time_left_alone(
    hub: HubServer, teacher: HubCommands
) -> None:
    log = ["===== Application Startup =====\n", "* Running on hf_write 你好\n"]
    hub.plan_build(SPACE, Build(building_polls=1, run_log=log))
    done = deployed(teacher, hub)
    commit = model_commit(hub)
    assert done.stdout == f"{hub.url}/spaces/{SPACE} · {REPO} @ {commit[:7]}\n"
    stages = [line for line in done.stderr.splitlines() if line.startswith("Space: ")]
    assert stages == ["Space: BUILDING", "Space: RUNNING"]
    assert "* Running on hf_… 你好" in done.stderr
    space = hub.space(SPACE)
    assert (space.hardware, space.private) == ("zero-a10g", False)
    assert variables(hub) == {"MODEL_REPO_ID": REPO, "MODEL_REVISION": commit}
    assert space.secrets == {}
    folder = teacher.project / "runs/hub/spaces" / SPACE
    assert set(space.files) - {".gitattributes"} == set(files_in(folder))
    assert all(space.read(path) == (folder / path).read_bytes() for path in files_in(folder))
    n_requests = len(hub.requests)
    assert "the Space is current already" in deployed(teacher, hub).stderr
    assert {request.method for request in hub.requests[n_requests:]} <= {"GET", "HEAD"}


def test_a_new_version_of_the_model_updates_the_space(
    hub: HubServer, teacher: HubCommands, published: Path
) -> None:
    deployed(teacher, hub)
    old, space = model_commit(hub), hub.space(SPACE)
    own = {"thumbnail.png": space.store(b"PNG"), "data/old.jsonl": space.store(b"{}")}
    space.commit("main", space.files | own, "by hand")
    repository = hub.model(REPO)
    repository.tags["v1"] = old
    repository.commit("main", repository.files, "trained longer")
    deployed(teacher, hub)
    assert variables(hub)["MODEL_REVISION"] == model_commit(hub) != old
    assert model_commit(hub)[:7] in space.read("README.md").decode()
    assert "thumbnail.png" in space.files
    assert "data/old.jsonl" not in space.files
    deployed(teacher, hub, "--revision", "v1")
    assert variables(hub)["MODEL_REVISION"] == old


def test_a_free_account_is_told_what_is_free_and_nothing_is_made(
    hub: HubServer, teacher: HubCommands
) -> None:
    done = deploy(teacher, hub)
    assert done.code == 2
    for words in ("PRO", "--zero-gpu", "python app.py", "static page"):
        assert words in done.stderr
    assert spaces(hub) == []


def test_a_pro_account_deploys_to_a_cpu_and_moves_to_zero_gpu_later(
    hub: HubServer, teacher: HubCommands
) -> None:
    words = ("--repo-id", "principal/app", "--model", REPO)
    done = teacher.run(hub, "deploy_space", *words, token="hf_pro")
    assert done.code == 0, done.stderr
    assert hub.space("principal/app").hardware == "cpu-basic"
    done = teacher.run(hub, "deploy_space", *words, "--zero-gpu", token="hf_pro")
    assert done.code == 0, done.stderr
    assert hub.space("principal/app").hardware == "zero-a10g"
    assert "the Space is current already" not in done.stderr
    done = teacher.run(hub, "deploy_space", *words, token="hf_pro")
    assert hub.space("principal/app").hardware == "zero-a10g"
    assert "the Space is current already" in done.stderr


@pytest.mark.parametrize("name", ["app.py", "index.html", "Dockerfile"])
def test_another_app_of_that_name_is_left_alone(
    hub: HubServer, teacher: HubCommands, name: str
) -> None:
    """Found here: of a static page, which has no app.py, all was overwritten."""
    deployed(teacher, hub)
    space = hub.space(SPACE)
    other = {name: space.store(b"another"), "README.md": space.store(b"mine")}
    space.commit("main", other, "another app")
    space.hardware = "cpu-basic"
    done = deploy(teacher, hub, "--zero-gpu")
    assert done.code == 2
    assert f"{SPACE} is another app already; nothing was changed" in done.stderr
    assert (space.files, space.hardware) == (other, "cpu-basic")


def test_a_space_that_was_made_on_the_web_is_used(hub: HubServer, teacher: HubCommands) -> None:
    deployed(teacher, hub)
    space = hub.space(SPACE)
    empty = {".gitattributes": space.store(b""), "README.md": space.store(b"---\n---\n")}
    space.commit("main", empty, "made on the web")
    deployed(teacher, hub)
    assert "app.py" in space.files


# ---------------------------------------------------------------- who may, and what for


@pytest.mark.parametrize(
    ("words", "token", "message"),
    [
        (("--repo-id", "student/app"), "hf_write", "student is not yours: you may publish as"),
        (("--zero-gpu",), "hf_read", "the token of teacher may only read"),
        (("--zero-gpu",), "hf_fine_read", "may not do that"),
        (("--zero-gpu",), None, "no token on this machine"),
        (("--model", "teacher/none"), "hf_write", "teacher/none is no published model"),
        (("--revision", "v9"), "hf_write", "it has no such branch, tag or commit"),
        (("--repo-id", "三班"), "hf_write", "is not the name of a repository"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_nothing_is_made(
    hub: HubServer, teacher: HubCommands, words: tuple[str, ...], token: str | None, message: str
) -> None:
    done = deploy(teacher, hub, *words, token=token)
    assert done.code == 2
    assert message in done.stderr
    assert "--create-pr" not in done.stderr  # this command has no such option
    assert spaces(hub) == []


def test_a_private_model_is_warned_about_and_not_preloaded(
    hub: HubServer, teacher: HubCommands, published: Path
) -> None:
    put(hub, published, private=True)
    done = deployed(teacher, hub)
    assert f"{REPO} is private: the Space cannot read it" in done.stderr
    assert "secret HF_TOKEN" in done.stderr
    assert "preload_from_hub" not in hub.space(SPACE).read("README.md").decode()
    assert hub.space(SPACE).secrets == {}  # no token is sent by itself


# ---------------------------------------------------------------- how it starts


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        ("BUILD_ERROR", None),
        ("RUNTIME_ERROR", "Memory limit exceeded (hf_write)"),
        ("CONFIG_ERROR", "configuration error"),
    ],
)
def test_a_space_that_does_not_start_shows_why(
    hub: HubServer, teacher: HubCommands, stage: str, error: str | None
) -> None:
    logs = {"build_log": ["ERROR: no such version\n"], "run_log": ["in the run of hf_write\n"]}
    hub.plan_build(SPACE, Build(end=stage, error=error, **logs))
    done = deploy(teacher, hub, "--zero-gpu")
    assert done.code == 2
    assert f"{SPACE} does not start: {stage}" in done.stderr
    assert (error or "").partition("(")[0] in done.stderr
    shown = "no such version" if stage == "BUILD_ERROR" else "in the run of hf_…"
    assert shown in done.stderr


def test_a_space_that_takes_long_goes_on_by_itself(hub: HubServer, teacher: HubCommands) -> None:
    hub.plan_build(SPACE, Build(building_polls=99))
    done = deploy(teacher, hub, "--zero-gpu", "--wait", "0.5")
    assert done.code == 2
    assert f"{SPACE} is not up after 0.5 s (BUILDING); it goes on by itself" in done.stderr
    done = deployed(teacher, hub, "--wait", "0")
    assert "BUILDING" not in done.stderr


@pytest.mark.parametrize("wait", ["-5", "nan", "inf"])
def test_a_time_to_wait_that_is_none_is_refused_first(
    hub: HubServer, teacher: HubCommands, wait: str
) -> None:
    done = deploy(teacher, hub, "--wait", wait)
    assert done.code == 2
    assert f"--wait: {wait}: give 0 (do not wait) or more seconds" in done.stderr
    assert not hub.requested("POST", "")


@pytest.mark.parametrize("stage", ["PAUSED", "SLEEPING"])
def test_a_space_that_is_asleep_is_started(
    hub: HubServer, teacher: HubCommands, stage: str
) -> None:
    deployed(teacher, hub)
    space = hub.space(SPACE)
    space.build.end = stage
    hub.fault("/restart", method="POST").before = lambda: setattr(space.build, "end", "RUNNING")
    done = deployed(teacher, hub)
    assert f"Space: {stage}\nSpace: RUNNING\n" in done.stderr
    assert len(hub.requested("POST", "/restart")) == 1


def test_the_error_of_the_version_before_is_not_taken_for_the_new_ones(
    hub: HubServer, teacher: HubCommands
) -> None:
    """For some seconds after a push the Hub still tells how the version before was."""
    deployed(teacher, hub)
    space = hub.space(SPACE)
    space.build.end, space.built = "BUILD_ERROR", space.branches["main"]
    repository = hub.model(REPO)
    repository.commit("main", repository.files, "trained longer")

    def starts() -> None:
        space.build.end, space.built = "RUNNING", None

    hub.fault("/runtime", method="GET", after=2).before = starts
    done = deployed(teacher, hub)
    assert "Space: BUILD_ERROR\nSpace: RUNNING\n" in done.stderr
