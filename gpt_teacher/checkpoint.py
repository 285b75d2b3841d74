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
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gpt_teacher.config import Config, load_config
from gpt_teacher.errors import CheckpointError
from gpt_teacher.model import GPT, INIT_STD, RMS_NORM_EPS, ROPE_THETA
from gpt_teacher.run_log import LOG_FILE
from gpt_teacher.tokenizer import (
    BOS_ID,
    EOS_ID,
    PAD_ID,
    SPECIAL_TOKENS,
    UNK_ID,
    Tokenizer,
    load_tokenizer,
)

WEIGHTS_FILE = "model.safetensors"
METRICS_FILE = "metrics.json"
NEEDED = (WEIGHTS_FILE, "config.json", "config.yaml")
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
        "config.json": _json(_transformers_config(config, tokenizer, quantized)),
        "generation_config.json": _json(_generation_config(config)),
        tokenizer.file_name: tokenizer.file_bytes,
        "tokenizer_config.json": _json(_tokenizer_config(config)),
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
    _finish_swap(folder)
    if not folder.is_dir():
        raise CheckpointError(
            f"no checkpoint at {folder}; train one with: python -m scripts.train, "
            f"or name another folder with --checkpoint"
        )
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is not a whole checkpoint: {', '.join(missing)} missing")
    config = load_config(folder / "config.yaml")
    described = _read_json(folder / "config.json")
    sentencepiece = config.tokenizer.type == "sentencepiece"
    tokenizer_path = folder / ("tokenizer.model" if sentencepiece else "tokenizer.json")
    tokenizer = load_tokenizer(tokenizer_path, config.tokenizer)
    trained_with = described.get("gpt_teacher", {}).get("tokenizer_sha256")
    if trained_with != tokenizer.fingerprint:
        raise CheckpointError(
            f"{tokenizer_path} is not the tokenizer of this model: its SHA-256 is "
            f"{tokenizer.fingerprint[:12]}…, the model was trained with {str(trained_with)[:12]}…; "
            f"copy the whole checkpoint folder again"
        )
    tensors = read_tensors(folder / WEIGHTS_FILE)[0]
    metrics_file = folder / METRICS_FILE
    metrics = _read_json(metrics_file) if metrics_file.is_file() else {}
    named = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    return Checkpoint(folder, config, tokenizer, named, metrics)


def build_model(checkpoint: Checkpoint, tensors: dict[str, Tensor]) -> GPT:
    """Return the model of a checkpoint with these float32 weights, ready to answer. 建出模型。

    Raises CheckpointError if names, shapes or the vocabulary do not fit the configuration.
    """
    model = GPT(checkpoint.config.model, checkpoint.tokenizer.vocab_size)
    load_weights(model, tensors, str(checkpoint.folder / WEIGHTS_FILE))
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
        path.parent.mkdir(parents=True, exist_ok=True)
        content = safetensors.torch.save(tensors, metadata)
        temporary = path.with_suffix(".tmp")
        _write(temporary, content)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {path}: {error.strerror or error}; what was saved before is still "
            f"whole. Free some space, then go on with: python -m scripts.train --resume"
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
        tensors = safetensors.torch.load(content)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); copy or download it again, or train anew"
        ) from None
    length = int.from_bytes(content[:8], "little")
    return tensors, json.loads(content[8 : 8 + length]).get("__metadata__", {})


def replace_folder(folder: Path, files: dict[str, bytes], previous: Path | None = None) -> None:
    """Put a folder of these files in the place of another, or change nothing. 整体替换。"""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _finish_swap(folder)
    new, old = _beside(folder, "new"), _beside(folder, "old")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir()
        for name, content in files.items():
            _write(new / name, content)
        _sync_folder(new)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    _sync_folder(folder.parent)
    if previous is not None and old.exists():
        shutil.rmtree(previous, ignore_errors=True)
        previous.parent.mkdir(parents=True, exist_ok=True)
        old.rename(previous)
    shutil.rmtree(old, ignore_errors=True)


def _finish_swap(folder: Path) -> None:
    """Undo a swap that a power cut left between its two renamings. 断电后的恢复。"""
    old = _beside(folder, "old")
    if old.exists() and not folder.exists():
        old.rename(folder)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Flush a folder's list of names, where the system can. 刷新目录。"""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _json(value: Json) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _read_json(path: Path) -> Json:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); copy the folder again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged (not a JSON object); copy the folder again")
    return value


def _transformers_config(config: Config, tokenizer: Tokenizer, quantized: bool) -> Json:
    """Describe the network to transformers; learned positions have no class there. 结构说明。"""
    model = config.model
    rope = model.position == "rope"
    described: Json = {
        "architectures": ["ArceeForCausalLM" if rope else "GPTTeacherForCausalLM"],
        "model_type": "arcee" if rope else "gpt_teacher",
        "vocab_size": tokenizer.vocab_size,
        "hidden_size": model.n_embd,
        "intermediate_size": 4 * model.n_embd,
        "num_hidden_layers": model.n_layer,
        "num_attention_heads": model.n_head,
        "num_key_value_heads": model.n_head,
        "head_dim": model.head_dim,
        "max_position_embeddings": model.seq_len,
        "hidden_act": "silu",
        "attention_bias": True,
        "mlp_bias": True,
        "attention_dropout": model.dropout,
        "rms_norm_eps": RMS_NORM_EPS,
        "rope_theta": ROPE_THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "initializer_range": INIT_STD,
        "tie_word_embeddings": True,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": PAD_ID,
        "dtype": "float32",
        "gpt_teacher": {"tokenizer_sha256": tokenizer.fingerprint},
    }
    if quantized:
        described["quantization_config"] = _quantization_config()
    return described


def _quantization_config() -> Json:
    """Describe quantize.py's layout to compressed-tensors. 量化说明。"""
    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
    }


def _generation_config(config: Config) -> Json:
    return {
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": PAD_ID,
        "do_sample": False,
        "max_length": config.model.seq_len,
        "suppress_tokens": [BOS_ID, PAD_ID, UNK_ID],
    }


def _tokenizer_config(config: Config) -> Json:
    bos, eos, pad, unk = SPECIAL_TOKENS
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "pad_token": pad,
        "unk_token": unk,
        "model_max_length": config.model.seq_len,
        "clean_up_tokenization_spaces": False,
    }
