"""push_to_hub: one commit with an honest card, looked at before and after, safe to repeat."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import QUESTIONS
from hub_commands import REPO, HubCommands
from hub_server import HubServer

from gpt_teacher.errors import HubError
from gpt_teacher.hub.files import files_in, write_folder

CHECKPOINT = {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json"}
CHECKPOINT |= {"tokenizer_config.json", "chat_template.jinja"}
CHECKPOINT |= {"config.yaml", "train_log.jsonl", "metrics.json"}
PUBLISHED = CHECKPOINT | {f"quantized/{name}" for name in CHECKPOINT}
PUBLISHED |= {"README.md", "LICENSE", "loss_curve.svg"}
DENSITY = "密度是质量除以体积。"


def retrain(student: HubCommands) -> None:
    """Another run, whose answers are others: of two steps only."""
    changes = ("training.max_steps=2", "training.eval_interval=2", "sampling.refusal=false")
    done = student.commands.run(
        "train", *(word for c in changes for word in ("--set", c)), folder=student.project
    )
    assert done.code == 0, done.stderr


def n_commits(hub: HubServer) -> int:
    return len(hub.model(REPO).history("main"))


# ---------------------------------------------------------------- what is published


def test_a_run_is_published_in_one_commit_and_answers_from_there(
    hub: HubServer, student: HubCommands
) -> None:
    done = student.pushed(hub)
    assert n_commits(hub) == 2  # the Hub's own that made the repository, and ours
    commit = hub.model(REPO).history("main")[0].sha
    assert done.stdout == f"{hub.url}/{REPO} @ {commit[:7]}\n"
    assert "拉回核对无误" in done.stderr
    assert set(hub.model(REPO).files) - {".gitattributes"} == PUBLISHED
    shutil.rmtree(student.project / "checkpoints")
    reply = student.ask(hub)
    assert (reply.code, reply.stdout) == (0, DENSITY + "\n")


def test_a_second_push_uploads_nothing(hub: HubServer, student: HubCommands) -> None:
    student.pushed(hub)
    n_requests = len(hub.requests)
    student.pushed(hub)
    assert n_commits(hub) == 2
    methods = {r.method for r in hub.requests[n_requests:]} - {"GET", "HEAD"}
    assert methods == set()


def test_only_what_changed_is_uploaded(hub: HubServer, student: HubCommands) -> None:
    student.pushed(hub)
    metrics = student.project / "checkpoints/last/metrics.json"
    for place in (metrics, student.project / "checkpoints/quantized/metrics.json"):
        found = json.loads(place.read_text(encoding="utf-8"))
        place.write_text(json.dumps(found | {"seed": 7}), encoding="utf-8")
    n_uploads = len(hub.requested("PUT", "/_s3/"))
    done = student.pushed(hub)
    assert "uploading 3 of 21 files" in done.stderr  # both metrics.json, and the card
    assert len(hub.requested("PUT", "/_s3/")) == n_uploads


@pytest.mark.parametrize("tag", ["v 1", "", "main", ".v1", "a..b", "v1.lock", "版本一"])
def test_a_name_that_is_no_tag_is_told_before_anything_is_published(
    hub: HubServer, student: HubCommands, tag: str
) -> None:
    refused = student.push(hub, "--tag", tag)
    assert refused.code == 2
    assert f"--tag {tag!r}: give a name of letters, digits" in refused.stderr
    assert not hub.requested("POST", "/api/repos/create")


def test_a_proposal_takes_no_tag(hub: HubServer, student: HubCommands) -> None:
    """Found here: the request was made, then the tag refused, and its address never told."""
    refused = student.push(hub, "--create-pr", "--tag", "v1")
    assert refused.code == 2
    assert "--create-pr only proposes: give one" in refused.stderr
    assert not hub.requested("POST", "/api/repos/create")


def test_a_retrained_model_gets_a_new_tag_and_the_old_one_keeps_its_answers(
    hub: HubServer, student: HubCommands
) -> None:
    student.pushed(hub, "--tag", "v1")
    retrain(student)
    student.pushed(hub, "--tag", "v2")
    assert student.ask(hub).stdout != DENSITY + "\n"
    assert student.ask(hub, "--revision", "v1").stdout == DENSITY + "\n"
    taken = student.push(hub, "--tag", "v1")
    assert taken.code == 2
    assert "has a tag v1 already" in taken.stderr
    student.pushed(hub, "--tag", "v1", "--force")
    assert hub.model(REPO).tags["v1"] == hub.model(REPO).tags["v2"]


def test_files_of_an_earlier_version_go_and_the_owners_own_stay(
    hub: HubServer, student: HubCommands
) -> None:
    student.pushed(hub)
    repository = hub.model(REPO)
    files = repository.files | {
        "notes/lesson.md": repository.store("备课".encode()),
        "old.safetensors": repository.store(b"old"),
    }
    repository.commit("main", files, "by hand")
    shutil.rmtree(student.project / "checkpoints/quantized")
    student.pushed(hub)
    names = set(hub.model(REPO).files) - {".gitattributes"}
    assert names == {n for n in PUBLISHED if not n.startswith("quantized/")} | {"notes/lesson.md"}


def test_a_repository_of_another_project_is_left_alone(
    hub: HubServer, student: HubCommands
) -> None:
    """Found here: config.json was overwritten, vocabulary and weights were deleted."""
    repository = hub.create(REPO)
    names = ("README.md", "config.json", "vocab.json", "model-00001-of-00002.safetensors")
    others = {name: repository.store(f"BERT {name}".encode()) for name in names}
    repository.commit("main", repository.files | others, "BERT")
    before = repository.files
    done = student.push(hub)
    assert done.code == 2
    assert f"{REPO} holds other files, no model of this project (config.json)" in done.stderr
    assert "choose a new name, or --force to publish over them" in done.stderr
    assert repository.files == before
    student.pushed(hub, "--force")
    assert set(repository.files) - {".gitattributes"} == PUBLISHED


def test_a_repository_that_was_made_on_the_web_is_used(
    hub: HubServer, student: HubCommands
) -> None:
    repository = hub.create(REPO)
    card = {"README.md": repository.store(b"---\nlicense: mit\n---\n")}
    repository.commit("main", repository.files | card, "by hand")
    student.pushed(hub)
    assert set(repository.files) - {".gitattributes"} == PUBLISHED


def test_by_xet_it_arrives_as_well(student: HubCommands) -> None:
    with HubServer(xet=True) as hub:
        student.pushed(hub, xet=True)
        assert hub.requested("GET", "xet-write-token")
        assert not hub.requested("PUT", "/_s3/")
        student.forget_downloads()
        assert student.ask(hub, xet=True).stdout == DENSITY + "\n"


def test_no_path_of_this_machine_is_published(hub: HubServer, student: HubCommands) -> None:
    """A run whose data lay in a folder of somebody's home."""
    private = student.project / "私人文件夹"
    private.mkdir()
    data = shutil.copy(student.project / "data/train.jsonl", private / "三班.jsonl")
    changes = (f"data.train_path={data}", "training.max_steps=2", "training.eval_interval=2")
    words = [word for change in changes for word in ("--set", change)]
    assert student.commands.run("train", *words, folder=student.project).code == 0
    student.pushed(hub)
    repository = hub.model(REPO)
    for name, stored in repository.files.items():
        content = hub.blobs[stored.oid]
        assert "私人文件夹".encode() not in content, name
        assert str(student.project).encode() not in content, name
    config = yaml.safe_load(hub.blobs[repository.files["config.yaml"].oid])
    assert config["data"]["train_path"] == "三班.jsonl"
    student.forget_downloads()
    assert student.ask(hub).code == 0


# ---------------------------------------------------------------- how it is published


def test_a_dry_run_needs_no_network_and_writes_the_folder(student: HubCommands) -> None:
    done = student.push("http://127.0.0.1:9", "--dry-run", "--output", "usb", token=None)
    assert done.code == 0, done.stderr
    folder = student.project / "usb"
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == PUBLISHED
    assert f"usb: to be published as {REPO}; nothing was published (--dry-run)" in done.stdout
    reply = student.run("http://127.0.0.1:9", "ask", "什么是密度?", "--checkpoint", "usb")
    assert reply.stdout == DENSITY + "\n"


def test_the_folder_is_never_written_over_other_files(student: HubCommands) -> None:
    own = student.project / "mine"
    own.mkdir()
    (own / "README.md").write_text("我的笔记", encoding="utf-8")
    done = student.push("http://127.0.0.1:9", "--dry-run", "--output", "mine", token=None)
    assert done.code == 2
    assert "mine is in the way (it holds README.md)" in done.stderr
    assert (own / "README.md").read_text(encoding="utf-8") == "我的笔记"


def test_a_folder_without_a_name_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: in an empty folder, --output . ended in a ValueError."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HubError, match=r"^\. has no name of its own; .* --output demo$"):
        write_folder(Path(), {"config.json": b"{}"}, "config.json")
    with pytest.raises(HubError, match=r"^\.\. has no name of its own; "):
        write_folder(Path(".."), {"config.json": b"{}"}, "config.json")
    assert files_in(tmp_path) == []


def test_what_macos_leaves_is_in_nobodys_way_and_not_published(student: HubCommands) -> None:
    """Found here: who had looked at the folder with Finder could not write it anew."""
    for place in ("last", "quantized"):
        for name in ("._config.json", "._config.yaml", ".DS_Store"):
            (student.project / "checkpoints" / place / name).write_bytes(b"\0\5\x16\7")
    folder = student.project / "demo"
    folder.mkdir()
    for _ in range(2):
        (folder / ".DS_Store").write_bytes(b"\0")
        student.pushed("http://127.0.0.1:9", "--dry-run", "--output", "demo", token=None)
        assert set(files_in(folder)) == PUBLISHED
    (folder / ".env").write_text("my own", encoding="utf-8")
    done = student.push("http://127.0.0.1:9", "--dry-run", "--output", "demo", token=None)
    assert "demo is in the way (it holds .env)" in done.stderr


def test_private_is_for_a_new_repository_only(hub: HubServer, student: HubCommands) -> None:
    student.pushed(hub, "--private")
    assert hub.model(REPO).private
    student.forget_downloads()
    assert student.ask(hub).stdout == DENSITY + "\n"
    refused = student.ask(hub, token=None)
    assert refused.code == 2
    assert "there is no such repository, or it is private" in refused.stderr
    hub.model(REPO).private = False
    done = student.push(hub, "--private")
    assert done.code == 2
    assert "is public already" in done.stderr


def test_a_student_proposes_to_the_teachers_repository(
    hub: HubServer, student: HubCommands
) -> None:
    student.pushed(hub)
    before = hub.model(REPO).history("main")[0].sha
    retrain(student)
    done = student.pushed(hub, "--create-pr", token="hf_student")
    assert done.stdout.startswith(f"{hub.url}/{REPO}/discussions/1 @ ")
    assert hub.model(REPO).history("main")[0].sha == before
    assert len(hub.model(REPO).history("refs/pr/1")) == 3


def test_a_concurrent_push_is_shown_and_not_overwritten(
    hub: HubServer, student: HubCommands
) -> None:
    student.pushed(hub)
    retrain(student)
    repository = hub.model(REPO)
    fault = hub.fault("/commit/", method="POST")
    files = repository.files | {"model.safetensors": repository.store(b"of somebody else")}
    theirs = None

    def somebody_else() -> None:
        nonlocal theirs
        theirs = repository.commit("main", files, "课代表的模型").sha

    fault.before = somebody_else  # after the command has looked, before it commits
    done = student.push(hub)
    assert done.code == 2
    assert "'课代表的模型' by teacher" in done.stderr
    assert "the same command once more publishes over it" in done.stderr
    assert repository.history("main")[0].sha == theirs
    student.pushed(hub)
    assert n_commits(hub) == 4
    somebody_else()
    hub.fault("/commit/", method="POST").before = somebody_else
    student.pushed(hub, "--force")
    assert n_commits(hub) == 7


def test_a_model_of_plain_text_is_published_with_continuations(
    hub: HubServer, student: HubCommands
) -> None:
    text = "".join(f"第{n}回，话说{answer}" for n, answer in enumerate(QUESTIONS.values()))
    (student.project / "novel.txt").write_text(text * 8, encoding="utf-8")
    changes = ("data.format=lm", "data.train_path=novel.txt", "training.max_steps=4")
    words = [word for change in changes for word in ("--set", change)]
    done = student.commands.run("train", *words, folder=student.project)
    assert done.code == 0, done.stderr
    student.pushed(hub)
    card = hub.blobs[hub.model(REPO).files["README.md"].oid].decode()
    assert "bits_per_byte" in card
    assert "续写 · continuation" in card


@pytest.mark.parametrize(
    "words", [(), ("--checkpoint", "checkpoints"), ("--checkpoint", "checkpoints/last")]
)
def test_after_a_power_cut_the_own_model_is_published_with_its_twin(
    student: HubCommands, words: tuple[str, ...]
) -> None:
    """Found here: between the two renamings of a save, the shipped model went out instead."""
    checkpoints = student.project / "checkpoints"
    weights = (checkpoints / "last/model.safetensors").read_bytes()
    for name in ("last", "quantized"):
        (checkpoints / name).rename(checkpoints / f".{name}.old")
    done = student.push("http://127.0.0.1:9", *words, "--dry-run", "--output", "usb", token=None)
    assert done.code == 0, done.stderr
    folder = student.project / "usb"
    assert (folder / "model.safetensors").read_bytes() == weights
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == PUBLISHED


def test_quantized_weights_are_not_published_alone(student: HubCommands) -> None:
    """Found here: their card said fp32, and its code printed another number than it stated."""
    words = ("--checkpoint", "checkpoints/quantized", "--dry-run", "--output", "usb")
    done = student.push("http://127.0.0.1:9", *words, token=None)
    assert done.code == 2
    assert "checkpoints/quantized holds quantized weights alone; name the folder" in done.stderr
    assert not (student.project / "usb").exists()


# ---------------------------------------------------------------- opened without this project


def test_the_clients_own_tools_get_usable_files(
    hub: HubServer, student: HubCommands, tmp_path: Path
) -> None:
    student.pushed(hub)
    hf = Path(sys.executable).with_name("hf")
    target, environment = tmp_path / "by hf", student.environment(hub, token=None)
    words = [str(hf), "download", REPO, "--local-dir", str(target)]
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=60)
    reply = student.run(hub, "ask", "什么是密度?", "--checkpoint", target)
    assert reply.stdout == DENSITY + "\n"
    program = """
import sys
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
weights = load_file(hf_hub_download("teacher/demo", "model.safetensors"))
print(sum(t.numel() for t in weights.values()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    metrics = json.loads((student.project / "checkpoints/last/metrics.json").read_text("utf-8"))
    assert int(done.stdout) == metrics["parameters"]


# Runs the programs of its standard input, each with no name of the others: one process, as each
# import of transformers takes seconds.
EACH_PROGRAM = """
import sys
for number, program in enumerate(sys.stdin.read().split("\\0")):
    print(end="\\0" if number else "")
    exec(program, {"__name__": "__main__"})
"""


def test_what_the_card_tells_the_reader_to_write_runs(hub: HubServer, student: HubCommands) -> None:
    """The Python of the card as it stands: transformers alone, and this project."""
    student.pushed(hub)
    card = hub.blobs[hub.model(REPO).files["README.md"].oid].decode()
    programs = [part.split("```")[0] for part in card.split("```python\n")[1:]]
    assert len(programs) >= 3
    environment = student.environment(hub, token=None)
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", EACH_PROGRAM],
        input="\0".join(programs),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for program, shown in zip(programs, done.stdout.split("\0"), strict=True):
        if "generate" in program or "answer" in program:
            assert any(answer in shown for answer in QUESTIONS.values()), shown
