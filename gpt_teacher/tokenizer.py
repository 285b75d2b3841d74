"""Text <-> ids, lossless. 文字与编号互换，不丢一个字节。

Three kinds, one face. Every token stands for some bytes, so decoding is the same for all of them:
join the bytes, read them as UTF-8.

    hf_tokenizers   byte-level BPE with the full 256-byte alphabet     tokenizer.json
    char            one token a character, others become <unk>         tokenizer.json
    sentencepiece   BPE on characters, bytes for rare ones             tokenizer.model
"""

from __future__ import annotations

import codecs
import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import sentencepiece
import tokenizers

from gpt_teacher.config import TokenizerConfig
from gpt_teacher.errors import TokenizerError

SPECIAL_TOKENS = ("<bos>", "<eos>", "<pad>", "<unk>")
BOS_ID, EOS_ID, PAD_ID, UNK_ID = range(4)
BUILD_COMMAND = "python -m scripts.build_tokenizer"
PROBE = "  魑魅，ＡＢＣ　Hello 🙂\r\n\t 12"  # a tokenizer that keeps this changes no text
REPLACEMENT = "\ufffd".encode()  # what <unk> is shown as


class Tokenizer(ABC):
    """Text <-> ids, and what each id stands for. 分词器。"""

    file_name: str  # in a checkpoint folder
    type: str  # as in config.yaml, tokenizer.type
    file_bytes: bytes  # the whole tokenizer, as it stands in its file

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of ids, special ones included. 词表大小。"""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, in which `<eos>` is five characters. 编码。"""

    @abstractmethod
    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that an id stands for; none for a special token. 一个词元的字节。"""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of some ids; bytes that are no UTF-8 become U+FFFD. 解码。"""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def label(self, token_id: int) -> str:
        """Return how to show a token: its text, name, or bytes as ⟨E8 92⟩. 词元的样子。"""
        if token_id < len(SPECIAL_TOKENS):
            return SPECIAL_TOKENS[token_id]
        data = self.token_bytes(token_id)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return f"⟨{data.hex(' ').upper()}⟩"
        return text if text.strip() and text.isprintable() else repr(text)

    def unknown_characters(self, text: str) -> list[str]:
        """Return the distinct characters of a text that encode() cannot keep. 不认识的字。"""
        return []

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tokenizer file: two tokenizers are the same or they are not. 指纹。"""
        return hashlib.sha256(self.file_bytes).hexdigest()

    def save(self, path: Path) -> None:
        """Write the tokenizer file. 保存。"""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.file_bytes)
        except OSError as error:
            raise TokenizerError(
                f"{path}: cannot be written ({error.strerror}); set another tokenizer.path"
            ) from None


def byte_alphabet() -> dict[str, int]:
    """Return character -> the byte that byte-level BPE writes it for. 字节字母表。

    Printable Latin-1 stands for itself, the other 68 bytes for the characters from U+0100 on.
    Source: Radford et al. 2019 (GPT-2), encoder.py, bytes_to_unicode.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + n): byte for n, byte in enumerate(others)
    }


BYTE_OF = byte_alphabet()


class HFTokenizer(Tokenizer):
    """A tokenizer.json of the tokenizers library: byte-level BPE or characters. BPE 或单字。"""

    file_name = "tokenizer.json"

    def __init__(self, file_bytes: bytes, source: str) -> None:
        """Read a tokenizer.json; source names it in errors. 读取。"""
        self.file_bytes = file_bytes
        try:
            self._library = tokenizers.Tokenizer.from_buffer(file_bytes)
        except Exception as error:  # noqa: BLE001  the library raises plain Exception
            raise TokenizerError(
                f"{source}: this is not a tokenizer.json ({error}); make one with: {BUILD_COMMAND}"
            ) from None
        self._library.encode_special_tokens = True  # `<eos>` in a text is text
        self.type = (
            "char"
            if isinstance(self._library.model, tokenizers.models.WordLevel)
            else ("hf_tokenizers")
        )
        self._check(source)
        self._bytes = [self._bytes_of(token_id) for token_id in range(self.vocab_size)]
        if self.type != "char" and self.decode(self.encode(PROBE)) != PROBE:
            raise TokenizerError(
                f"{source}: it changes {PROBE!r} to {self.decode(self.encode(PROBE))!r}, so text "
                f"would be lost; make a new tokenizer with: {BUILD_COMMAND}"
            )

    def _check(self, source: str) -> None:
        found = tuple(self._library.id_to_token(i) for i in range(4))
        if found != SPECIAL_TOKENS:
            raise TokenizerError(
                f"{source}: ids 0 to 3 are {found}, expected {SPECIAL_TOKENS}; "
                f"make a new tokenizer with: {BUILD_COMMAND}"
            )
        if self.type == "char":
            return
        missing = [c for c in BYTE_OF if self._library.token_to_id(c) is None]
        if missing:
            raise TokenizerError(
                f"{source}: {len(missing)} of the 256 bytes have no token, so text would be lost; "
                f"make a new tokenizer with: {BUILD_COMMAND}"
            )
        strange = [t for t in self._library.get_vocab() if not BYTE_OF.keys() >= {*t}]
        if strange:
            raise TokenizerError(
                f"{source}: {strange[0]!r} is not written in bytes; "
                f"make a new tokenizer with: {BUILD_COMMAND}"
            )

    def _bytes_of(self, token_id: int) -> bytes:
        token = self._library.id_to_token(token_id)
        if token_id == UNK_ID:
            return REPLACEMENT
        if token is None or token_id < len(SPECIAL_TOKENS):
            return b""
        if self.type == "char":
            return token.encode()
        return bytes(BYTE_OF[c] for c in token)

    @property
    def vocab_size(self) -> int:
        """See Tokenizer. 词表大小。"""
        return int(self._library.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        """See Tokenizer. 编码。"""
        check_characters(text)
        return list(self._library.encode(text, add_special_tokens=False).ids)

    def token_bytes(self, token_id: int) -> bytes:
        """See Tokenizer. 一个词元的字节。"""
        return self._bytes[token_id]

    def unknown_characters(self, text: str) -> list[str]:
        """See Tokenizer. 不认识的字。"""
        if self.type != "char":
            return []
        check_characters(text)  # the library's own error would be a traceback
        return [c for c in dict.fromkeys(text) if self._library.token_to_id(c) is None]


class SentencePieceTokenizer(Tokenizer):
    """A tokenizer.model of the sentencepiece library, with byte fallback. 带字节回退。"""

    file_name = "tokenizer.model"
    type = "sentencepiece"
    SPACE = "\u2581"  # how sentencepiece writes a space; as text of its own it goes through bytes

    def __init__(self, file_bytes: bytes, source: str) -> None:
        """Read a sentencepiece model; source names it in errors. 读取。"""
        self.file_bytes = file_bytes
        try:
            self._library = sentencepiece.SentencePieceProcessor(model_proto=file_bytes)
            pieces = [self._library.id_to_piece(i) for i in range(self._library.vocab_size())]
        except (RuntimeError, OSError) as error:
            raise TokenizerError(
                f"{source}: this is not a sentencepiece model ({error}); make one with: "
                f"{BUILD_COMMAND} --set tokenizer.type=sentencepiece"
            ) from None
        if tuple(pieces[:4]) != SPECIAL_TOKENS or not self._library.is_byte(4):
            raise TokenizerError(
                f"{source}: needs the special tokens {SPECIAL_TOKENS} at 0 to 3 and byte fallback; "
                f"make a new one with: {BUILD_COMMAND} --set tokenizer.type=sentencepiece"
            )
        self._bytes = [self._bytes_of(i, piece) for i, piece in enumerate(pieces)]
        self._byte_id = {data: i for i, data in enumerate(self._bytes) if self._library.is_byte(i)}
        # The library ends a text at NUL, reads U+2581 as a space, and spells a space that it has no
        # token for as U+2581: these go through bytes of our own.
        self._spelt = {"\0", self.SPACE} | ({" "} if self.SPACE not in pieces else set())

    def _bytes_of(self, token_id: int, piece: str) -> bytes:
        if token_id == UNK_ID:
            return REPLACEMENT
        if token_id < len(SPECIAL_TOKENS):
            return b""
        if self._library.is_byte(token_id):
            return bytes([int(piece[3:5], 16)])  # <0xE4>
        return piece.replace(self.SPACE, " ").encode()

    @property
    def vocab_size(self) -> int:
        """See Tokenizer. 词表大小。"""
        return len(self._bytes)

    def encode(self, text: str) -> list[int]:
        """See Tokenizer. 编码。"""
        check_characters(text)
        ids: list[int] = []
        for is_spelt, group in itertools.groupby(text, key=self._spelt.__contains__):
            part = "".join(group)
            if is_spelt:
                ids += [self._byte_id[bytes([byte])] for byte in part.encode()]
            else:
                ids += self._library.encode(part)
        return ids

    def token_bytes(self, token_id: int) -> bytes:
        """See Tokenizer. 一个词元的字节。"""
        return self._bytes[token_id]


def check_characters(text: str) -> None:
    """Raise TokenizerError if a text holds half a character: it has no bytes. 检查半个字符。"""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise TokenizerError(f"the text holds half a character, {half!r}; remove it") from None


def stream_text(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Yield the new text after each id, whole characters only, then what is left. 流式解码。"""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token_id in ids:
        yield decoder.decode(tokenizer.token_bytes(token_id))
    yield decoder.decode(b"", final=True)


def load_tokenizer(path: Path, config: TokenizerConfig | None = None) -> Tokenizer:
    """Read a tokenizer file; with a config, its type must be the one asked for. 读取分词器文件。

    Raises TokenizerError if the file is missing, broken, of another type, or would lose text.
    """
    try:
        file_bytes = path.read_bytes()
    except OSError as error:
        raise TokenizerError(
            f"no tokenizer at {path} ({error.strerror}); make one with: {BUILD_COMMAND}"
        ) from None
    if not file_bytes:
        raise TokenizerError(f"{path}: the file is empty; make one with: {BUILD_COMMAND}")
    tokenizer: Tokenizer
    if file_bytes.lstrip()[:1] == b"{":
        tokenizer = HFTokenizer(file_bytes, str(path))
    else:
        tokenizer = SentencePieceTokenizer(file_bytes, str(path))
    if config is not None and tokenizer.type != config.type:
        raise TokenizerError(
            f"{path}: holds a tokenizer of type {tokenizer.type}, but tokenizer.type is "
            f"{config.type}; make one with: {BUILD_COMMAND} --set tokenizer.type={config.type} "
            f"--set tokenizer.path=ANOTHER_FILE"
        )
    return tokenizer
