"""A checkpoint is a folder, everywhere the same; `transformers` opens it as it is. 检查点。

    model.safetensors  config.json  generation_config.json          the network
    tokenizer.json  tokenizer_config.json  chat_template.jinja      the text side
    config.yaml  train_log.jsonl  metrics.json                      how it was made

A new checkpoint is written beside the old one, flushed to disk, and swapped in by renaming:
whatever happens in between, a whole one is left. What resuming needs is one file,
`resume/state.safetensors`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from safetensors.torch import load as parse_tensors  # no pickle: it cannot run code
from torch import Tensor

from gpt_teacher.atomic import finish_swap, replace_file, replace_folder
from gpt_teacher.commands import resume_command
from gpt_teacher.config import Config, load_config
from gpt_teacher.errors import CheckpointError, ConfigError
from gpt_teacher.model import GPT, n_parameters
from gpt_teacher.run_log import LOG_FILE
from gpt_teacher.tokenizer import Tokenizer, load_tokenizer
from gpt_teacher.transformers_files import generation_config, network_config, tokenizer_config

WEIGHTS_FILE = "model.safetensors"
METRICS_FILE = "metrics.json"
NEEDED = (WEIGHTS_FILE, "config.json", "config.yaml")
MAX_GROWTH = 2  # parameters described for each one found; a file within it is compared by name
PREFIX = "model."  # transformers keeps the network below this name
Json = dict[str, Any]  # a JSON object


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint folder holds. 检查点的内容。"""

    folder: Path
    config: Config
    tokenizer: Tokenizer
    tensors: dict[str, Tensor]  # as in the file, without PREFIX
    metrics: Json


def save_checkpoint(
    folder: Path,
    tensors: dict[str, Tensor],
    config: Config,
    tokenizer: Tokenizer,
    metrics: Json,
    chat_template: str,
    log_file: Path | None = None,
    previous: Path | None = None,
) -> None:
    """Write a checkpoint folder in one piece; the old one goes to `previous`. 保存检查点。

    Raises CheckpointError if the disk does not take it; the old checkpoint is whole then.
    """
    named = {PREFIX + name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    quantized = any(t.dtype == torch.int8 for t in tensors.values())
    files = {
        WEIGHTS_FILE: safetensors.torch.save(named, metadata={"format": "pt"}),
        "config.json": _json(network_config(config, tokenizer, quantized)),
        "generation_config.json": _json(generation_config(config)),
        tokenizer.file_name: tokenizer.file_bytes,
        "tokenizer_config.json": _json(tokenizer_config(config)),
        "chat_template.jinja": chat_template.encode(),
        "config.yaml": config.to_yaml().encode(),
        METRICS_FILE: _json(metrics),
    }
    try:
        if log_file is not None and log_file.exists():
            files[LOG_FILE] = log_file.read_bytes()
        replace_folder(folder, files, previous)
    except OSError as error:
        raise CheckpointError(
            f"cannot write the checkpoint {folder}: {error.strerror or error}; "
            f"what was saved there before is still whole. Free some space or choose another "
            f"folder with --set training.save_dir=FOLDER"
        ) from None


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read and check a checkpoint folder. 读取检查点。

    Raises CheckpointError if it is missing, incomplete or damaged, TokenizerError if its
    tokenizer is not the one that it was trained with.
    """
    finish_swap(folder)
    if not folder.is_dir():
        raise CheckpointError(
            f"no checkpoint at {folder}; train one with: python -m scripts.train, "
            f"or name another folder with --checkpoint"
        )
    _check_files(folder, NEEDED)
    try:
        config = load_config(folder / "config.yaml")
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    described = _read_json(folder / "config.json")
    sentencepiece = config.tokenizer.type == "sentencepiece"
    tokenizer_path = folder / ("tokenizer.model" if sentencepiece else "tokenizer.json")
    _check_files(folder, (tokenizer_path.name,))
    tokenizer = load_tokenizer(tokenizer_path, config.tokenizer)
    trained_with = _object(described, "gpt_teacher", folder / "config.json").get("tokenizer_sha256")
    if trained_with != tokenizer.fingerprint:
        raise CheckpointError(
            f"{tokenizer_path} is not the tokenizer of this model: its SHA-256 is "
            f"{tokenizer.fingerprint[:12]}…, the model was trained with {str(trained_with)[:12]}…; "
            f"copy the whole checkpoint folder again"
        )
    tensors = read_tensors(folder / WEIGHTS_FILE)[0]
    metrics_file = folder / METRICS_FILE
    metrics = _read_json(metrics_file) if metrics_file.is_file() else {}
    _check_fingerprints(metrics, metrics_file)
    named = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    return Checkpoint(folder, config, tokenizer, named, metrics)


def _check_files(folder: Path, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is not a whole checkpoint: {', '.join(missing)} missing")


def quantized_twin(folder: Path) -> Path | None:
    """Return the quantized checkpoint of the same run: inside, or beside `last`. 量化版的位置。"""
    places = [folder / "quantized"]
    places += [folder.parent / "quantized"] if folder.name == "last" else []
    for place in places:
        finish_swap(place)
    return next((place for place in places if (place / WEIGHTS_FILE).is_file()), None)


def build_model(checkpoint: Checkpoint, tensors: dict[str, Tensor], int8: bool = False) -> GPT:
    """Return the model of a checkpoint with these float32 weights, ready to answer. 建出模型。

    int8 says that they were int8 before: answers are decoded with them as such.
    Raises CheckpointError if names, shapes or the vocabulary do not fit the configuration.
    """
    config, vocab_size = checkpoint.config.model, checkpoint.tokenizer.vocab_size
    source = str(checkpoint.folder / WEIGHTS_FILE)
    n_described = n_parameters(config, vocab_size)
    n_found = sum(tensor.numel() for tensor in tensors.values())
    if n_described > MAX_GROWTH * n_found:  # built first, it could take all the memory there is
        raise CheckpointError(
            f"{source} does not fit the configuration and tokenizer: it holds {n_found:,} numbers, "
            f"the configuration describes {n_described:,}"
        )
    model = GPT(config, vocab_size)
    load_weights(model, tensors, source)
    model.came_as_int8 = int8
    return model.eval()


def load_weights(model: GPT, tensors: dict[str, Tensor], source: str) -> None:
    """Copy weights into a model, each name and shape checked. 载入权重。"""
    expected = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    problems = [f"{name} missing" for name in expected if name not in found]
    problems += [f"{name} not expected" for name in found if name not in expected]
    problems += [
        f"{name} is {found[name]}, expected {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if problems:
        vocabulary = "embed_tokens.weight"
        if found.get(vocabulary, (0,))[0] != expected[vocabulary][0]:
            problems.insert(0, f"the vocabulary differs (the tokenizer has {model.vocab_size})")
        raise CheckpointError(
            f"{source} does not fit the configuration and tokenizer: {'; '.join(problems[:5])}"
        )
    model.load_state_dict(tensors)


def save_state(path: Path, tensors: dict[str, Tensor], state: Json) -> None:
    """Write tensors and a JSON object as one file, in one piece. 保存续训状态。"""
    metadata = {"state": json.dumps(state, ensure_ascii=False)}
    try:
        replace_file(path, safetensors.torch.save(tensors, metadata))
    except OSError as error:
        raise CheckpointError(
            f"cannot write {path}: {error.strerror or error}; what was saved before is still "
            f"whole. Free some space, then go on with: {resume_command(path.parent.parent)}"
        ) from None


def load_state(path: Path) -> tuple[dict[str, Tensor], Json]:
    """Read what save_state wrote. 读取续训状态。"""
    if not path.is_file():
        raise CheckpointError(
            f"nothing to resume: {path} does not exist; start with: python -m scripts.train"
        )
    tensors, metadata = read_tensors(path)
    try:
        state = json.loads(metadata["state"])
    except (KeyError, ValueError):
        raise CheckpointError(f"{path} holds weights, but no training state") from None
    return tensors, state


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: tensors and metadata. 读取权重文件。

    The file is not kept mapped: on Windows an open file could not be replaced by the next save.
    """
    try:
        content = path.read_bytes()
        tensors = parse_tensors(content)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); copy or download it again, or train anew"
        ) from None
    except KeyError as error:  # the file format knows kinds of numbers that the library does not
        raise CheckpointError(
            f"{path} is damaged (unknown kind of number {error}); copy or download it again, or "
            f"train anew"
        ) from None
    length = int.from_bytes(content[:8], "little")
    return tensors, json.loads(content[8 : 8 + length]).get("__metadata__", {})


def _json(value: Json) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _read_json(path: Path) -> Json:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); copy the folder again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged (not a JSON object); copy the folder again")
    return value


def _object(value: Json, key: str, path: Path) -> Json:
    """Return the JSON object under a key, empty if there is none. 取出一个对象。"""
    found = value.get(key, {})
    if not isinstance(found, dict):
        raise CheckpointError(
            f"{path} is damaged ({key} is not a JSON object); copy the folder again"
        )
    return found


def _check_fingerprints(metrics: Json, path: Path) -> None:
    """Raise CheckpointError unless each data file has its path and SHA-256. 检查数据指纹。"""
    for facts in _object(_object(metrics, "fingerprints", path), "data", path).values():
        described = facts if isinstance(facts, dict) else {}
        if not all(isinstance(described.get(key), str) for key in ("path", "sha256")):
            raise CheckpointError(
                f"{path} is damaged (fingerprints: a data file without path or sha256); "
                f"copy the folder again"
            )
