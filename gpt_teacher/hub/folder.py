"""A finished run -> the folder that is published. 生成要发布的文件夹。

    model.safetensors config.json tokenizer.json …   the checkpoint `last`
    quantized/                                       its int8 twin, a whole checkpoint, too
    README.md loss_curve.svg LICENSE                 the card, its picture, the licence

The same folder, on a USB stick, opens with --checkpoint FOLDER where there is no network.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from gpt_teacher import SHIPPED, Pretrained, from_pretrained
from gpt_teacher.atomic import finish_swap
from gpt_teacher.card.facts import CardFacts, choose_samples, read_facts, shown_path
from gpt_teacher.card.layout import CARD_FILE, LICENCE_FILE, LOSS_CURVE_FILE, QUANTIZED_FOLDER
from gpt_teacher.card.loss_curve import loss_curve_svg
from gpt_teacher.card.model_card import model_card
from gpt_teacher.checkpoint import METRICS_FILE, WEIGHTS_FILE, load_checkpoint, quantized_twin
from gpt_teacher.errors import CheckpointError
from gpt_teacher.hub.files import belongs, write_folder
from gpt_teacher.quantize import is_quantized
from gpt_teacher.run_log import LOG_FILE
from gpt_teacher.sampler import Answer, continue_text

OWN_LICENCE = SHIPPED.parent / LICENCE_FILE
FOLDERS = Path("runs/hub")
PATH_KEYS = ("path", "_dir")  # keys of config, metrics and log that end so hold paths
CONFIG_KEY = "config"  # of the log: the whole configuration as YAML


class RunFolders(NamedTuple):
    """The checkpoints of one run. 一次训练的两个检查点。"""

    last: Path
    quantized: Path | None


def run_folders(folder: Path) -> RunFolders:
    """Find last and quantized from the folder that holds them, or from last itself. 找检查点。

    Raises CheckpointError if there is no checkpoint.
    """
    for place in (folder / "last", folder):
        finish_swap(place)
    last = folder / "last" if (folder / "last").is_dir() else folder
    if not (last / "config.json").is_file():
        raise CheckpointError(
            f"no checkpoint in {folder}; train one with: python -m scripts.train, or name the "
            f"folder that holds last/ and quantized/ with --checkpoint"
        )
    return RunFolders(last, quantized_twin(last))


def make_folder(source: Path, repo_id: str, output: Path | None) -> tuple[Path, CardFacts]:
    """Write the folder that is published as repo_id; return it and what its card says. 生成文件夹。

    It is written to `output` if that is free, by default to a folder of ours. The same run gives
    the same bytes. Paths of this machine are not published. Raises CheckpointError if the run is
    not whole, or the source a quantized twin alone, HubError if the folder cannot be written.
    """
    last, quantized = run_folders(source)
    checkpoint = load_checkpoint(last)
    if is_quantized(checkpoint.tensors):
        raise CheckpointError(
            f"{last} holds quantized weights alone; name the folder `last` of their run with "
            f"--checkpoint: its quantized twin is published, too"
        )
    teacher = from_pretrained(last)
    twin = load_checkpoint(quantized) if quantized else None
    facts = read_facts(repo_id, checkpoint, twin, [])
    samples = choose_samples(facts.metrics, facts.log, asker(teacher))
    facts = replace(facts, samples=samples)
    files = checkpoint_files(last, "")
    if quantized:
        files |= checkpoint_files(quantized, f"{QUANTIZED_FOLDER}/")
    files[CARD_FILE] = model_card(facts).encode()
    files[LICENCE_FILE] = OWN_LICENCE.read_bytes()
    if facts.log is not None:
        files[LOSS_CURVE_FILE] = loss_curve_svg(facts.log).encode()
    folder = output or FOLDERS / repo_id
    write_folder(folder, files, WEIGHTS_FILE if output else None)
    return folder, facts


def asker(teacher: Pretrained) -> Any:
    """Return the function that puts one question to a model, or one opening. 提问函数。"""
    if not teacher.metrics.get("is_text"):
        return teacher.answer

    def go_on(opening: str) -> Answer:
        settings = teacher.config.sampling
        return list(continue_text(teacher.model, teacher.tokenizer, opening, settings))[-1]

    return go_on


def checkpoint_files(folder: Path, prefix: str) -> dict[str, bytes]:
    """Read the files of a checkpoint, without paths of this machine. 检查点的文件。"""
    files = {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if belongs(p.name)}
    for made_here in (CARD_FILE, LICENCE_FILE, LOSS_CURVE_FILE):
        files.pop(made_here, None)
    for name, content in files.items():
        if name in (METRICS_FILE, LOG_FILE, "config.yaml"):
            files[name] = without_paths(name, content)
    return {prefix + name: content for name, content in files.items()}


def without_paths(name: str, content: bytes) -> bytes:
    """Return a file in which absolute paths are cut to the name of the file. 去掉本机路径。

    A file without any is returned as it is, byte for byte.
    """
    text = content.decode()
    if name == LOG_FILE:
        # Not splitlines: U+2028, which an answer may hold, ends no line of JSON.
        lines = [_line_without_paths(line) for line in text.split("\n")]
        return "\n".join(lines).encode()
    found = yaml.safe_load(text)  # JSON is YAML
    if _shown(found) == found:
        return content
    if name == METRICS_FILE:
        return (json.dumps(_shown(found), ensure_ascii=False, indent=2) + "\n").encode()
    return _yaml(_shown(found)).encode()


def _line_without_paths(line: str) -> str:
    try:
        event = json.loads(line)
    except ValueError:  # empty, or cut short by a crash
        return line
    return line if _shown(event) == event else json.dumps(_shown(event), ensure_ascii=False)


def _shown(value: Any) -> Any:
    """Return a JSON value whose paths are fit for strangers."""
    if isinstance(value, list):
        return [_shown(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: _shown_at(key, one) for key, one in value.items()}


def _shown_at(key: str, value: Any) -> Any:
    if isinstance(value, str) and key.endswith(PATH_KEYS):
        return shown_path(value)
    if isinstance(value, str) and key == CONFIG_KEY:
        config = yaml.safe_load(value)
        return value if _shown(config) == config else _yaml(_shown(config))
    return _shown(value)


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, allow_unicode=True, sort_keys=False)
