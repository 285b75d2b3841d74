"""Plain text -> windows (data.format: lm). 纯文本数据。"""

from __future__ import annotations

import hashlib
import os
import random
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from gpt_teacher.atomic import patiently
from gpt_teacher.batches import EpochOrder
from gpt_teacher.config import Config
from gpt_teacher.errors import DataError
from gpt_teacher.loss import Batch
from gpt_teacher.text_files import file_sha256, read_texts
from gpt_teacher.tokenizer import EOS_ID, Tokenizer

ENCODING = "3"  # another one whenever the ids of a file become others
STEM = 20  # characters of a file's name that its cache shows; a system may allow 255 bytes in all
ENCODED_TOGETHER = 1 << 20  # characters encoded in one call, cut at a line end


def encoded_text(path: Path, tokenizer: Tokenizer, cache_dir: Path) -> Tensor:
    """Return the ids of a text file (N,), memory-mapped from a cached file. 编码好的全文。

    The cache is named by the contents of the file, its kind, the tokenizer, and how they are
    encoded, so it is never stale; and by the number of its ids, so one that was cut off is made
    anew.
    """
    made_of = file_sha256(path) + path.suffix.lower() + tokenizer.fingerprint + ENCODING
    key = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    name = f"{path.stem[:STEM]}-{key}"
    cached = _whole_cache(cache_dir, key)
    if cached is None:
        temporary = cache_dir / f"{name}.{os.getpid()}.tmp"  # several may begin at once
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                for ids in _encode_pieces(path, tokenizer):
                    file.write(array("i", ids).tobytes())
                file.flush()
                os.fsync(file.fileno())
            cached = cache_dir / f"{name}-{temporary.stat().st_size // 4}.int32"
            patiently(temporary.replace, cached)
        except OSError as error:
            cached = _whole_cache(cache_dir, key)  # Windows replaces no file that another run reads
            if cached is None:
                raise DataError(
                    f"{cache_dir}: cannot be written ({error.strerror}); set another data.cache_dir"
                ) from None
        finally:  # it is gone if all went well
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    n = cached.stat().st_size // 4
    return torch.from_file(str(cached), shared=False, size=n, dtype=torch.int32)


def _whole_cache(cache_dir: Path, key: str) -> Path | None:
    """Return the cached file of a key, if it holds as many ids as its name says. 完整的缓存。"""
    for cached in cache_dir.glob(f"*-{key}-*.int32"):
        if cached.name.endswith(f"-{cached.stat().st_size // 4}.int32"):
            return cached
    return None


def _encode_pieces(path: Path, tokenizer: Tokenizer) -> Iterator[list[int]]:
    """Yield the ids of a file, about a million characters at a time. 分块编码。"""
    documents = path.suffix.lower() in (".jsonl", ".json")
    waiting, n_characters = [], 0
    for text in read_texts(path):
        if documents:
            yield [*tokenizer.encode(text), EOS_ID]
            continue
        waiting.append(text)
        n_characters += len(text)
        if n_characters >= ENCODED_TOGETHER:
            yield tokenizer.encode("".join(waiting))
            waiting, n_characters = [], 0
    if not documents:
        yield [*tokenizer.encode("".join(waiting)), EOS_ID]


class TextBatches:
    """Batches of windows of plain text; each epoch cuts the text at new places. 纯文本批次。"""

    def __init__(self, ids: Tensor, config: Config) -> None:
        """Raise DataError if the text is shorter than one window. 检查长度。"""
        self._ids, self._training = ids, config.training
        self._length = config.model.seq_len
        n_windows = (len(ids) - 1 - self._length) // self._length  # whatever the shift
        if n_windows < 1:
            data = config.data
            share = "" if data.val_path else f" or data.val_fraction ({data.val_fraction})"
            raise DataError(
                f"{data.train_path}: {len(ids)} tokens of training text are too few for "
                f"windows of model.seq_len = {self._length}; "
                f"use more text or a smaller seq_len{share}"
            )
        self._n_shifts = len(ids) - n_windows * self._length  # the last one ends with the text
        self._order = EpochOrder(n_windows, config.training.seed)

    def __call__(self, step: int, max_steps: int | None = None) -> list[Batch]:
        """See Batches. 某一步的小批。"""
        size, micro = self._training.batch_size, self._training.micro_batch
        starts = [self._start(step * size + i) for i in range(size)]
        return [
            cut_windows(self._ids, starts[i : i + micro], self._length)
            for i in range(0, size, micro)
        ]

    def _start(self, position: int) -> int:
        epoch, window = self._order(position)
        shift = random.Random(f"{self._training.seed} shift {epoch}").randrange(self._n_shifts)
        return window * self._length + shift


def cut_windows(ids: Tensor, starts: list[int], length: int) -> Batch:
    """Return windows of a text and the same windows one token later (B, length). 切窗口。"""
    windows = torch.stack([ids[start : start + length + 1] for start in starts]).long()
    return Batch(windows[:, :-1], windows[:, 1:])


def text_validation(ids: Tensor, length: int, micro_batch: int) -> list[Batch]:
    """Return the whole text as windows side by side; a shorter rest is left out. 验证窗口。"""
    starts = list(range(0, max(1, len(ids) - length), length))
    if len(ids) <= length:
        length = len(ids) - 1
    return [
        cut_windows(ids, starts[i : i + micro_batch], length)
        for i in range(0, len(starts), micro_batch)
    ]
