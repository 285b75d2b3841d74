"""A checkpoint is whole or not there, whatever happens; what is wrong with one is said."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors
import torch
from conftest import QUESTIONS, TinyRun, largest_file
from torch import Tensor

from gpt_teacher import default_checkpoint, from_pretrained
from gpt_teacher.atomic import finish_swap, replace_file, replace_folder
from gpt_teacher.checkpoint import (
    Checkpoint,
    build_model,
    load_checkpoint,
    load_state,
    quantized_twin,
    save_checkpoint,
    save_state,
)
from gpt_teacher.config import Config, TokenizerConfig, TrainingConfig
from gpt_teacher.errors import CheckpointError, GPTTeacherError
from gpt_teacher.hub.folder import run_folders
from gpt_teacher.prompt import CHAT_TEMPLATE
from gpt_teacher.quantize import quantize
from gpt_teacher.tokenizer import Tokenizer
from gpt_teacher.tokenizer_training import train_tokenizer

TEXTS = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"]
WHOLE = {
    "model.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "config.yaml",
    "metrics.json",
    "train_log.jsonl",
}
NOBODY = 65534


@pytest.fixture
def trained(tiny_run: TinyRun) -> Checkpoint:
    return load_checkpoint(tiny_run.last)


@pytest.fixture
def copy(tiny_run: TinyRun, tmp_path: Path) -> Path:
    """A checkpoint folder to be broken."""
    return Path(shutil.copytree(tiny_run.last, tmp_path / "copy"))


def save(
    folder: Path,
    trained: Checkpoint,
    tensors: dict[str, Tensor] | None = None,
    tokenizer: Tokenizer | None = None,
    previous: Path | None = None,
) -> None:
    save_checkpoint(
        folder,
        tensors or trained.tensors,
        trained.config,
        tokenizer or trained.tokenizer,
        trained.metrics,
        CHAT_TEMPLATE,
        trained.folder / "train_log.jsonl",
        previous,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def message(folder: Path) -> str:
    """Open a broken checkpoint; return the one line that says what is wrong."""
    with pytest.raises(GPTTeacherError) as caught:
        from_pretrained(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- round trips


def test_what_is_saved_is_read_back_to_the_bit(trained: Checkpoint, tmp_path: Path) -> None:
    metrics = {"texts": TEXTS, "first_loss_nats": 5.123456789012345, "best": None}
    log = tmp_path / "log.jsonl"
    log.write_bytes("{'魑魅'}\r\n".encode())
    save_checkpoint(
        tmp_path / "a" / "b",
        trained.tensors,
        trained.config,
        trained.tokenizer,
        metrics,
        CHAT_TEMPLATE,
        log,
    )
    read = load_checkpoint(tmp_path / "a" / "b")
    assert read.metrics == metrics
    assert read.config == trained.config
    assert read.tokenizer.file_bytes == trained.tokenizer.file_bytes
    assert read.tensors.keys() == trained.tensors.keys()
    for name, tensor in trained.tensors.items():
        assert tensor.dtype == read.tensors[name].dtype
        assert torch.equal(tensor, read.tensors[name])
    assert contents(read.folder)["train_log.jsonl"] == log.read_bytes()
    assert contents(read.folder).keys() == WHOLE
    assert [p.name for p in read.folder.parent.iterdir()] == ["b"]  # nothing left beside it


def test_the_weights_file_names_its_framework_and_the_network(tiny_run: TinyRun) -> None:
    with safetensors.safe_open(tiny_run.last / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert all(name.startswith("model.") for name in file.keys())  # noqa: SIM118
    described = json.loads((tiny_run.last / "config.json").read_text(encoding="utf-8"))
    assert described["architectures"] == ["ArceeForCausalLM"]
    assert "quantization_config" not in described


def test_a_checkpoint_answers_all_that_was_taught(tiny_run: TinyRun) -> None:
    teacher = from_pretrained(str(tiny_run.last))
    assert {q: teacher.answer(q).text for q in QUESTIONS} == QUESTIONS


def test_the_quantized_checkpoint_answers_the_same_from_int8_weights(tiny_run: TinyRun) -> None:
    teacher = from_pretrained(tiny_run.quantized)
    assert {q: teacher.answer(q).text for q in QUESTIONS} == QUESTIONS
    stored = load_checkpoint(tiny_run.quantized).tensors
    wanted = quantize(load_checkpoint(tiny_run.last).tensors)
    assert stored.keys() == wanted.keys()
    assert all(torch.equal(stored[name], wanted[name]) for name in wanted)
    assert {str(t.dtype) for n, t in stored.items() if n.endswith("_proj.weight")} == {"torch.int8"}
    described = json.loads((tiny_run.quantized / "config.json").read_text(encoding="utf-8"))
    assert described["quantization_config"]["quant_method"] == "compressed-tensors"


def test_a_training_state_is_read_back_to_the_bit(tmp_path: Path) -> None:
    tensors = {"random": torch.get_rng_state(), "a.b": torch.tensor([0.1, -0.0, torch.inf])}
    state = {"best": float("inf"), "texts": TEXTS, "step": 7, "none": None}
    save_state(tmp_path / "resume" / "state.safetensors", tensors, state)
    read_tensors, read = load_state(tmp_path / "resume" / "state.safetensors")
    assert read == state
    assert read_tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read_tensors[name].numpy().tobytes() == tensor.numpy().tobytes()


# ---------------------------------------------------------------- broken folders


def test_a_missing_folder_is_named_with_the_command_that_makes_one(tmp_path: Path) -> None:
    text = message(tmp_path / "none")
    assert f"no checkpoint at {tmp_path / 'none'}" in text
    assert "python -m scripts.train" in text


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "config.yaml", "tokenizer.json"]
)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    text = message(copy)
    assert f"{copy} is not a whole checkpoint: {name} missing" in text


def test_all_missing_files_are_named_at_once(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "config.json").unlink()
    assert "model.safetensors, config.json missing" in message(copy)


@pytest.mark.parametrize("share", [0.0, 1e-5, 0.001, 0.5, 0.99999])
def test_truncated_weights_are_damaged(copy: Path, share: float) -> None:
    weights = copy / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: int(len(content) * share)])
    text = message(copy)
    assert f"{weights} is damaged" in text
    assert "copy or download it again" in text


def test_weights_in_numbers_that_nothing_reads_are_damaged(copy: Path) -> None:
    weights = copy / "model.safetensors"
    content = weights.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    scale = header["model.norm.weight"]
    scale |= {"dtype": "F8_E8M0", "shape": [4, *scale["shape"]]}  # a byte each, where were four
    written = json.dumps(header).encode()
    weights.write_bytes(len(written).to_bytes(8, "little") + written + content[8 + length :])
    assert f"{weights} is damaged (" in message(copy)


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"[1, 2]", b"\xff\xfe{\0"])
def test_damaged_json_is_named(copy: Path, name: str, content: bytes) -> None:
    (copy / name).write_bytes(content)
    assert f"{copy / name} is damaged" in message(copy)


@pytest.mark.parametrize("value", [None, [], 1])
@pytest.mark.parametrize(
    ("name", "keys", "problem"),
    [
        ("config.json", "gpt_teacher", "gpt_teacher is not a JSON object"),
        ("metrics.json", "fingerprints", "fingerprints is not a JSON object"),
        ("metrics.json", "fingerprints data", "data is not a JSON object"),
        ("metrics.json", "fingerprints data train", "a data file without path or sha256"),
        ("metrics.json", "fingerprints data train sha256", "a data file without path or sha256"),
        ("metrics.json", "fingerprints data train path", "a data file without path or sha256"),
    ],
)
def test_json_of_another_form_is_damaged(
    copy: Path, name: str, keys: str, problem: str, value: object
) -> None:
    whole = json.loads((copy / name).read_text(encoding="utf-8"))
    *outer, last = keys.split()
    inner = whole
    for key in outer:
        inner = inner[key]
    assert last in inner
    inner[last] = value
    (copy / name).write_text(json.dumps(whole), encoding="utf-8")
    text = message(copy)
    assert text.startswith(f"{copy / name} is damaged (")
    assert f"{problem}); copy the folder again" in text


def test_a_damaged_configuration_is_named(copy: Path) -> None:
    (copy / "config.yaml").write_text("model: {n_layer: 2", encoding="utf-8")
    assert f"{copy / 'config.yaml'}, line 1" in message(copy)


def test_a_damaged_tokenizer_is_named(copy: Path) -> None:
    content = (copy / "tokenizer.json").read_bytes()
    (copy / "tokenizer.json").write_bytes(content[: len(content) // 2])
    assert f"{copy / 'tokenizer.json'}: this is not a tokenizer.json" in message(copy)


def test_another_tokenizer_of_the_same_size_is_refused(copy: Path, trained: Checkpoint) -> None:
    config = TokenizerConfig(vocab_size=trained.tokenizer.vocab_size)
    other = train_tokenizer(["云里的水滴太重，就落下来。" * 3, *TEXTS, *QUESTIONS], config)
    other.save(copy / "tokenizer.json")
    text = message(copy)
    assert f"{copy / 'tokenizer.json'} is not the tokenizer of this model" in text
    assert other.fingerprint[:12] in text
    assert trained.tokenizer.fingerprint[:12] in text
    assert "copy the whole checkpoint folder again" in text


def test_one_changed_byte_makes_another_tokenizer(copy: Path) -> None:
    with (copy / "tokenizer.json").open("ab") as file:
        file.write(b" ")
    assert "is not the tokenizer of this model" in message(copy)


def test_weights_for_another_vocabulary_are_refused(trained: Checkpoint) -> None:
    rows = trained.tensors["embed_tokens.weight"]
    tensors = trained.tensors | {"embed_tokens.weight": rows[:-7].clone()}
    expected = (
        rf"model.safetensors does not fit the configuration and tokenizer: the vocabulary differs "
        rf"\(the tokenizer has {len(rows)}\); embed_tokens.weight is \({len(rows) - 7}, 64\), "
        rf"expected \({len(rows)}, 64\)"
    )
    with pytest.raises(CheckpointError, match=expected):
        build_model(trained, tensors)


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    file = copy / "config.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("n_layer: 2", "n_layer: 3"), encoding="utf-8")
    assert "layers.2.input_layernorm.weight missing" in message(copy)
    file.write_text(text.replace("n_layer: 2", "n_layer: 1"), encoding="utf-8")
    assert re.search(r"layers\.1\.\S+ not expected", message(copy))
    file.write_text(text.replace("n_embd: 64", "n_embd: 32"), encoding="utf-8")
    shown = message(copy)
    assert "layers.0.input_layernorm.weight is (64,), expected (32,)" in shown
    assert "vocabulary" not in shown
    file.write_text(text.replace("position: rope", "position: learned"), encoding="utf-8")
    assert "embed_positions.weight missing" in message(copy)


@pytest.mark.parametrize("change", ["n_embd: 100000", "n_embd: 4096", "n_layer: 1000"])
def test_a_network_much_larger_than_its_weights_is_not_built(
    copy: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, key = copy / "config.yaml", change.split(":")[0]
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(rf"{key}: \d+", change, text), encoding="utf-8")
    monkeypatch.setattr("gpt_teacher.checkpoint.GPT", None)
    shown = message(copy)
    assert "model.safetensors does not fit the configuration and tokenizer: it holds" in shown
    assert re.search(r"it holds \d+,\d+ numbers, the configuration describes [\d,]{10,}$", shown)


def test_a_context_whose_tables_take_all_the_memory_is_not_built(copy: Path) -> None:
    """Found here: a stranger's model of 1,000,000 tokens took 512 MB for its rotations alone."""
    file = copy / "config.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"seq_len: \d+", "seq_len: 1000000", text), encoding="utf-8")
    expected = f"{file}: model.seq_len: 1000000 is not allowed; it must be 65536 tokens at most"
    with pytest.raises(CheckpointError, match=re.escape(expected)):
        from_pretrained(copy)


def test_a_state_that_is_missing_broken_or_something_else_is_named(
    tmp_path: Path, tiny_run: TinyRun
) -> None:
    file = tmp_path / "state.safetensors"
    with pytest.raises(CheckpointError, match=rf"nothing to resume: {file} does not exist; start"):
        load_state(file)
    file.write_bytes((tiny_run.save_dir / "resume" / "state.safetensors").read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=rf"{file} is damaged"):
        load_state(file)
    shutil.copy(tiny_run.last / "model.safetensors", file)
    with pytest.raises(CheckpointError, match=rf"{file} holds weights, but no training state"):
        load_state(file)


# ---------------------------------------------------------------- a disk that does not take it


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only; root, whom no permission stops, becomes somebody else."""
    if os.name == "nt":
        pytest.skip("folders have no such permission on Windows")
    is_root = os.geteuid() == 0
    folder.chmod(0o755 if is_root else 0o555)
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


def zeros(trained: Checkpoint) -> dict[str, Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in trained.tensors.items()}


def test_a_file_that_the_system_cuts_short_leaves_the_old_checkpoint(
    trained: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "last"
    save(folder, trained)
    before = contents(folder)
    expected = rf"cannot write the checkpoint {folder}: File too large; what was saved there before"
    with largest_file(100_000), pytest.raises(CheckpointError, match=expected):
        save(folder, trained, zeros(trained))
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["last"]  # the space is free again
    save(folder, trained, zeros(trained))  # and the next one succeeds
    assert not load_checkpoint(folder).tensors["norm.weight"].any()


def test_a_full_disk_leaves_the_old_checkpoint(trained: Checkpoint, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root on Linux")
    try:
        save(disk / "last", trained)  # takes about 0.6 MB: there is no room for a second one
        before = contents(disk / "last")
        with pytest.raises(CheckpointError, match=r"No space left on device; .* still whole"):
            save(disk / "last", trained, zeros(trained))
        assert contents(disk / "last") == before
        state = disk / "resume" / "state.safetensors"
        with pytest.raises(CheckpointError, match=rf"cannot write {state}: No space left"):
            save_state(state, trained.tensors, {})
        assert [path.name for path in disk.iterdir() if path.is_file()] == []
        (disk / "last" / "train_log.jsonl").unlink()  # the same disk, with less on it
        load_checkpoint(disk / "last")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_read_only_folder_leaves_the_old_checkpoint(
    trained: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # relative paths: nobody may pass through the folders above
    save(Path("last"), trained)
    before = contents(Path("last"))
    expected = r"cannot write the checkpoint last: Permission denied; what was saved .* --set train"
    with read_only(tmp_path), pytest.raises(CheckpointError, match=expected):
        save(Path("last"), trained, zeros(trained))
    with read_only(tmp_path), pytest.raises(CheckpointError, match=r"cannot write state.*denied"):
        save_state(Path("state.safetensors"), trained.tensors, {})
    assert contents(Path("last")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


# ---------------------------------------------------------------- crashes

OLD, NEW = {"a": b"old", "b": b"o" * 5_000}, {"a": b"new", "c": b"n" * 5_000}
NEWEST = {"d": b"newest"}


class Crash(BaseException):
    """The process ends here: nothing after it runs, no handler of errors either."""


@contextmanager
def failing(
    monkeypatch: pytest.MonkeyPatch, n: int, error: BaseException, calls: list[str]
) -> Iterator[None]:
    """Let the n-th thing that changes the disk fail, before it is done; note them in calls."""

    def watch(owner: object, name: str) -> None:
        real: Callable[..., object] = getattr(owner, name)

        def watched(*arguments: object, **keywords: object) -> object:
            calls.append(name)
            if len(calls) == n:
                raise error
            return real(*arguments, **keywords)

        context.setattr(owner, name, watched)

    with monkeypatch.context() as context:
        for name in ("fsync", "unlink", "rmdir"):
            watch(os, name)
        for name in ("mkdir", "open", "rename", "replace"):
            watch(Path, name)
        yield


@pytest.mark.parametrize("keep_previous", [False, True])
@pytest.mark.parametrize("error", [Crash(), OSError(28, "No space left on device")])
def test_a_folder_is_old_or_new_wherever_its_replacement_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, keep_previous: bool
) -> None:
    """Found here: a leftover of the old folder made every later save fail."""
    for n in range(1, 100):
        base = tmp_path / str(n)
        folder, previous = base / "last", base / "previous" / "last"
        replace_folder(previous, {"a": b"oldest"})
        replace_folder(folder, OLD)
        calls: list[str] = []
        with failing(monkeypatch, n, error, calls):
            try:
                replace_folder(folder, NEW, previous if keep_previous else None)
            except type(error):
                pass
        finish_swap(folder)
        where = f"at call {n}: {calls[-1]}"
        assert contents(folder) in (OLD, NEW), where
        if keep_previous:
            assert OLD in [contents(p) for p in (folder, previous) if p.is_dir()], where
        was_new = contents(folder) == NEW
        replace_folder(folder, NEWEST)
        if keep_previous and was_new:
            assert contents(previous) == OLD, where
        assert contents(folder) == NEWEST, where
        assert {path.name for path in base.iterdir()} == {"last", "previous"}, where
        if len(calls) < n:  # this one was not interrupted any more
            assert contents(previous) == (OLD if keep_previous else {"a": b"oldest"})
            break
    assert n > 10


@pytest.mark.parametrize("error", [Crash(), OSError(28, "No space left on device")])
def test_a_file_is_old_or_new_wherever_its_replacement_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    for n in range(1, 100):
        file = tmp_path / str(n) / "state"
        replace_file(file, b"old")
        calls: list[str] = []
        with failing(monkeypatch, n, error, calls):
            try:
                replace_file(file, b"new" * 1_000)
            except type(error):
                pass
        assert file.read_bytes() in (b"old", b"new" * 1_000), f"at call {n}: {calls[-1]}"
        replace_file(file, b"newest")
        assert file.read_bytes() == b"newest"
        assert [path.name for path in file.parent.iterdir()] == ["state"]
        if len(calls) < n:
            break
    assert n > 4


def test_everything_is_on_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut keeps what was flushed: files and their folder, then the renaming."""
    events: list[tuple[str, int | str]] = []
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def noting_fsync(handle: int) -> None:
        events.append(("fsync", os.fstat(handle).st_ino))
        fsync(handle)

    def noting_rename(path: Path, target: Path) -> Path:
        events.append(("rename", path.name))
        return rename(path, target)

    def noting_replace(path: Path, target: Path) -> Path:
        events.append(("rename", path.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "rename", noting_rename)
    monkeypatch.setattr(Path, "replace", noting_replace)
    folder, file = tmp_path / "last", tmp_path / "state"
    replace_folder(folder, NEW)
    moved = events.index(("rename", ".last.new"))
    flushed = [("fsync", path.stat().st_ino) for path in (*folder.iterdir(), folder)]
    assert set(flushed) <= set(events[:moved])
    assert ("fsync", tmp_path.stat().st_ino) in events[moved:]
    events.clear()
    replace_file(file, b"new")
    moved = events.index(("rename", ".state.new"))
    assert ("fsync", file.stat().st_ino) in events[:moved]
    assert ("fsync", tmp_path.stat().st_ino) in events[moved:]


def test_a_power_cut_between_the_two_renamings_is_repaired_when_the_checkpoint_is_read(
    copy: Path,
) -> None:
    before = contents(copy)
    shutil.copytree(copy, copy.with_name(".copy.new"))
    copy.rename(copy.with_name(".copy.old"))
    load_checkpoint(copy)
    assert contents(copy) == before


def test_a_power_cut_between_the_two_renamings_does_not_bring_the_shipped_model(
    copy: Path,
) -> None:
    """The user's own model is there, only under its other name."""
    (copy.parent / "own").mkdir()
    own = copy.rename(copy.parent / "own" / "last")
    config = Config(training=TrainingConfig(save_dir=str(own.parent)))
    assert default_checkpoint(config) == own
    own.rename(own.with_name(".last.old"))
    assert default_checkpoint(config) == own
    assert load_checkpoint(own).folder == own


def test_a_power_cut_that_a_read_only_folder_does_not_let_repair_is_told(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: a run on a read-only stick was opened by a traceback."""
    monkeypatch.chdir(copy.parent)  # relative paths: nobody may pass through the folders above
    shutil.copytree(copy, ".quantized.old")
    copy.rename(".last.old")
    last, config = Path("last"), Config(training=TrainingConfig(save_dir="."))
    for name, opened in (
        ("last", lambda: load_checkpoint(last)),
        ("last", lambda: default_checkpoint(config)),
        ("last", lambda: run_folders(Path())),
        ("quantized", lambda: quantized_twin(last)),
    ):
        expected = rf"cannot rename \.{name}\.old to {name}: Permission denied; copy the folder"
        with read_only(copy.parent), pytest.raises(CheckpointError, match=expected):
            opened()
    assert {path.name for path in copy.parent.iterdir()} == {".last.old", ".quantized.old"}


def test_the_working_folder_may_be_a_checkpoint(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: --checkpoint . ended in a traceback, as that path has no name."""
    monkeypatch.chdir(copy)
    assert load_checkpoint(Path()).metrics == load_checkpoint(copy).metrics


def test_the_old_checkpoint_is_kept_as_previous(trained: Checkpoint, tmp_path: Path) -> None:
    last, previous = tmp_path / "last", tmp_path / "previous" / "last"
    save(last, trained)
    save(last, trained, zeros(trained), previous=previous)
    assert torch.equal(
        load_checkpoint(previous).tensors["norm.weight"], trained.tensors["norm.weight"]
    )
    assert not load_checkpoint(last).tensors["norm.weight"].any()
    assert {path.name for path in tmp_path.iterdir()} == {"last", "previous"}


def test_a_reader_that_undoes_a_swap_in_the_middle_does_not_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found here: a model that was opened between the two renamings ended the training."""
    folder, rename, n_renamed = tmp_path / "last", Path.rename, 0
    replace_folder(folder, OLD)

    def renamed(source: Path, target: Path) -> Path:
        nonlocal n_renamed
        n_renamed += 1
        if n_renamed == 2:
            rename(tmp_path / ".last.old", folder)  # as finish_swap does
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", renamed)
    replace_folder(folder, NEW)
    assert contents(folder) == NEW
    assert n_renamed == 4
    assert {path.name for path in tmp_path.iterdir()} == {"last"}


def test_what_another_program_reads_for_a_moment_is_waited_for(
    tmp_path: Path, held_for_a_moment: Counter[str]
) -> None:
    """Found here: on Windows an antivirus that read the state of a run ended the training."""
    file, folder = tmp_path / "state", tmp_path / "last"
    file.write_bytes(b"old")
    folder.mkdir()
    replace_file(file, b"new")
    replace_folder(folder, NEW)
    assert file.read_bytes() == b"new"
    assert contents(folder) == NEW
    assert held_for_a_moment == {"state": 3, ".last.old": 3, "last": 3}
    assert {path.name for path in tmp_path.iterdir()} == {"state", "last"}
