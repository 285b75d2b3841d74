"""A visitor's model goes to the visitor's account, with the visitor's token and no trace of it."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from conftest import TinyRun, largest_file
from hub_accounts import TOKENS
from hub_faults import refused_endpoint, silent_endpoint, web_page_endpoint
from hub_server import HubServer
from huggingface_hub import constants, get_token, utils

from gpt_teacher import from_pretrained
from gpt_teacher.errors import HubError
from gpt_teacher.hub.failures import without_tokens
from gpt_teacher.hub.folder import make_folder
from gpt_teacher.hub.login import api, logged_in, visitors_token
from gpt_teacher.hub.publish_run import publish_run
from gpt_teacher.training_files import RunFiles
from gpt_teacher.views.hub_chinese import SENTENCES, in_chinese
from gpt_teacher.views.publish import is_this_machine, publish_own
from gpt_teacher.views.text import CHINESE

# The client sends files in a way that its HTTP library would rather not see.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
VISITOR = "hf_oauth_eyJhbGciOi.abc-DEF.x_y"  # as an OAuth token looks


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A Hub, reached by this process, and a machine whose owner is logged in as teacher."""
    with HubServer() as server:
        server.tokens[VISITOR] = TOKENS["hf_student"]
        for name in ("ENDPOINT", "HF_ENDPOINT"):
            monkeypatch.setattr(constants, name, server.url, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
        (tmp_path / "token").write_text("hf_write", encoding="utf-8")
        assert get_token() == "hf_write"
        yield server
        utils.close_session()


@pytest.fixture
def files(tiny_run: TinyRun, tmp_path: Path) -> RunFiles:
    """A run that was started in the page, as it is left at its end."""
    files = RunFiles(tmp_path / "runs" / "page" / ("a" * 24))
    make_folder(tiny_run.save_dir, "YOUR_NAME/my-gpt", files.model)
    return files


def tokens_sent(hub: HubServer) -> set[str]:
    return {r.headers["authorization"] for r in hub.requests if "authorization" in r.headers}


def test_a_visitor_publishes_to_the_own_account_with_the_own_token(
    hub: HubServer, files: RunFiles, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    published = publish_run(files, "my-gpt", True, VISITOR, lambda _: None)
    assert published.address == f"{hub.url}/student/my-gpt"
    repository = hub.model("student/my-gpt")
    assert repository.private
    assert tokens_sent(hub) == {f"Bearer {VISITOR}"}
    assert visitors_token() is None
    assert {"model.safetensors", "quantized/model.safetensors"} <= set(repository.files)
    card = (files.published / "README.md").read_text(encoding="utf-8")
    assert "student/my-gpt" in card
    assert "YOUR_NAME" not in card
    question = "什么是密度?"
    expected = from_pretrained(files.model).answer(question).text
    assert from_pretrained(files.published).answer(question).text == expected
    shutil.rmtree(tmp_path / "runs" / "page" / ("a" * 24) / "model")
    written = [p for p in tmp_path.rglob("*") if p.is_file() and VISITOR.encode() in p.read_bytes()]
    assert written == []
    assert VISITOR not in "".join(capfd.readouterr())


def test_without_a_token_it_is_the_machines_login(hub: HubServer, files: RunFiles) -> None:
    said = publish_own(files, " lesson ", False, None, CHINESE)
    commit = hub.model("teacher/lesson").history("main")[0].sha
    address = f"{hub.url}/teacher/lesson"
    assert said == CHINESE["own_pushed"].format(address=address, commit=commit[:7])
    assert tokens_sent(hub) == {"Bearer hf_write"}
    again = publish_own(files, "lesson", False, None, CHINESE)
    assert again == CHINESE["own_pushed_before"].format(address=address, commit=commit[:7])


@pytest.mark.parametrize("name", ["../x", "a b", "<script>", "teacher/lesson", "x" * 500, "a\0b"])
def test_a_visitor_gets_nowhere_else(hub: HubServer, files: RunFiles, name: str) -> None:
    said = publish_own(files, name, True, VISITOR, CHINESE)
    assert said.startswith(CHINESE["own_push_failed"].split("{")[0])
    assert hub.repositories == {}
    assert not files.published.exists()


def test_a_failure_does_not_show_the_token(hub: HubServer, files: RunFiles) -> None:
    del hub.tokens[VISITOR]
    hub.fault("whoami", status=400)
    said = publish_own(files, "my-gpt", True, VISITOR, CHINESE)
    assert "没有发布成功" in said
    with logged_in(VISITOR):
        assert without_tokens(f"a header {VISITOR}!") == "a header hf_…!"
    assert "eyJ" not in said


def test_a_login_ends_with_its_publication_even_a_failed_one(hub: HubServer) -> None:
    with logged_in(VISITOR):
        assert api().whoami()["name"] == "student"
    hub.fault("whoami", status=403)
    with pytest.raises(HubError):
        publish_run(RunFiles(Path("none")), "my-gpt", True, VISITOR, lambda _: None)
    assert visitors_token() is None
    assert api().whoami()["name"] == "teacher"


# ---------------------------------------------------------------- failures, said in Chinese

NAMES = {
    "a b": "'student/a b' 不能做仓库名",
    "https://huggingface.co/datasets/student/x": "'https://huggingface.co/datasets/student/x' "
    "不是模型的网址",
    "teacher/x": "不能发布到 teacher 名下，你的账号是 student",
}
LOGINS = {"hf_read": "这个令牌只能读", "hf_unknown": "Hub 不认这次登录"}
ANSWERS = [  # of the Hub: path, status, what is said of it
    ("/api/repos/create", 403, "这个账号无权发布"),
    ("/api/repos/create", 402, "Hub 说这要付费账号"),
    ("/api/whoami-v2", 429, "这个网络向 Hub 发的请求太多"),
    ("/api/whoami-v2", 503, "Hub 出了故障（HTTP 503）"),
    ("/_s3/", 403, "上传的地址过期了"),
    ("/api/whoami-v2", 400, "Hub 回答 HTTP 400"),
]
ENDPOINTS = [
    (silent_endpoint, "没有回应"),
    (refused_endpoint, "连不上 {address}：请检查网络"),
    (web_page_endpoint, "{address} 回的不是 Hub 的内容"),
    (lambda: nullcontext("https://hf-mirror.com"), "https://hf-mirror.com 是镜像，只能下载"),
]
OTHERS = [
    "还没有登录 Hub",
    "student/my-gpt 早已公开：请在 ",
    "student/my-gpt 里有别的文件（vocab.json），没有动它",
    "这台机器设成了离线",
    "仓库中途不见了",
    "student/my-gpt 刚被别人改过",
    "写不进去：请腾出磁盘空间",
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults that pass are not waited for."""
    monkeypatch.setattr("gpt_teacher.hub.connection.WAITS", (0.0, 0.0))
    monkeypatch.setattr("gpt_teacher.hub.connection.ACCOUNT_SECONDS", 0.5)


def why_not(files: RunFiles, name: str = "my-gpt", token: str | None = VISITOR) -> str:
    """What the Chinese page says of a publication that fails."""
    said = publish_own(files, name, True, token, CHINESE)
    failed = CHINESE["own_push_failed"].split("{")[0]
    assert said.startswith(failed)
    assert "--" not in said  # an option of a command is nothing to a visitor
    return said.removeprefix(failed)


@pytest.mark.parametrize(("name", "reason"), NAMES.items())
@pytest.mark.usefixtures("hub")
def test_a_name_that_cannot_be(files: RunFiles, name: str, reason: str) -> None:
    assert why_not(files, name).startswith(reason)


@pytest.mark.parametrize(("token", "reason"), LOGINS.items())
@pytest.mark.usefixtures("hub")
def test_a_login_that_will_not_do(files: RunFiles, token: str, reason: str) -> None:
    assert why_not(files, token=token).startswith(reason)


@pytest.mark.parametrize(("path", "status", "reason"), ANSWERS)
def test_what_the_hub_answers(
    hub: HubServer, files: RunFiles, path: str, status: int, reason: str
) -> None:
    hub.fault(path, status=status, times=math.inf, headers={"Retry-After": "600"})
    assert why_not(files).startswith(reason)


@pytest.mark.parametrize(("served", "reason"), ENDPOINTS)
@pytest.mark.usefixtures("hub")
def test_what_is_no_hub(
    files: RunFiles,
    monkeypatch: pytest.MonkeyPatch,
    served: Callable[[], AbstractContextManager[str]],
    reason: str,
) -> None:
    with served() as address:
        for name in ("ENDPOINT", "HF_ENDPOINT"):
            monkeypatch.setattr(constants, name, address, raising=False)
        assert reason.format(address=address) in why_not(files)


def test_what_else_may_be_in_the_way(
    hub: HubServer, files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo_id = "student/my-gpt"
    said = []
    (tmp_path / "token").unlink()
    said.append(why_not(files, token=None))
    hub.create(repo_id)
    said.append(why_not(files))
    repository = hub.create(repo_id, private=True)
    repository.commit("main", {"vocab.json": repository.store(b"{}")}, "of another project")
    said.append(why_not(files))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said.append(why_not(files))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    del hub.repositories["model", repo_id]
    hub.fault("/commit/").before = lambda: hub.repositories.pop(("model", repo_id))
    said.append(why_not(files))
    hub.fault("/commit/").before = lambda: hub.model(repo_id).commit("main", {}, "another")
    said.append(why_not(files))
    with largest_file(1000):
        said.append(why_not(files))
    for reason, one in zip(OTHERS, said, strict=True):
        assert reason in one
    assert CHINESE["own_push_private"] in said[1], "it names what is on the page"


def test_every_sentence_is_one_that_a_failure_says() -> None:
    reasons = [*NAMES.values(), *LOGINS.values(), *OTHERS]
    reasons += [case[-1] for case in (*ANSWERS, *ENDPOINTS)]
    assert len(reasons) == len(SENTENCES)
    for _, chinese in SENTENCES:
        beginning = re.sub(r"\{\d\}", "{}", chinese.split("：")[0]).split("{}")
        assert any(max(beginning, key=len).strip()[:6] in reason for reason in reasons), chinese


def test_a_sentence_that_is_not_known_stays() -> None:
    assert in_chinese("publishing to a/b: SomethingNew: no idea") == (
        "publishing to a/b: SomethingNew: no idea"
    )


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("127.8.8.8", True),
        ("192.168.1.5", False),
        ("0.0.0.0", False),
        ("localhost.evil.example", False),
        ("", False),
        (None, False),
    ],
)
def test_only_a_browser_on_this_machine_may_use_its_login(host: str | None, here: bool) -> None:
    assert is_this_machine(host) == here
