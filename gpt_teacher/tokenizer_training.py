"""Learn a tokenizer from texts. 从文本学出分词器。"""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Iterator

import sentencepiece
import tokenizers

from gpt_teacher.config import TokenizerConfig
from gpt_teacher.errors import TokenizerError
from gpt_teacher.tokenizer import (
    BOS_ID,
    EOS_ID,
    PAD_ID,
    SPECIAL_TOKENS,
    UNK_ID,
    HFTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
)

MAX_PIECE = 1 << 20  # characters that sentencepiece is given at once, of 4 bytes at most
MAX_PIECE_BYTES = 1 << 24  # enough for them; longer ones would be left out in silence


def train_tokenizer(texts: list[str], config: TokenizerConfig) -> Tokenizer:
    """Learn a tokenizer from texts. 从文本学出分词器。Same texts, same tokenizer, byte for byte."""
    if config.type == "sentencepiece":
        return _train_sentencepiece(texts, config.vocab_size)
    library = _train_char(texts) if config.type == "char" else _train_bpe(texts, config.vocab_size)
    return HFTokenizer(library.to_str(pretty=True).encode(), "new tokenizer")


def _train_bpe(texts: list[str], vocab_size: int) -> tokenizers.Tokenizer:
    """Byte-level BPE: merge the commonest pair of neighbours, again and again. 字节级 BPE。

    Source: Sennrich et al. 2016, arXiv:1508.07909, algorithm 1; on bytes as in GPT-2.
    """
    library = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=None))
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        # Without it, bytes that the texts lack get no token, and a user's text loses characters.
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer)
    return library


def _train_char(texts: list[str]) -> tokenizers.Tokenizer:
    """One token for each character of the texts, commonest first. 一字一词元。"""
    counts = Counter(itertools.chain.from_iterable(texts))
    ranked = sorted(counts, key=lambda c: (-counts[c], c))
    vocabulary = {token: i for i, token in enumerate([*SPECIAL_TOKENS, *ranked])}
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Split(
        tokenizers.Regex(r"[\s\S]"), behavior="isolated"
    )
    library.decoder = tokenizers.decoders.Fuse()
    library.add_special_tokens(list(SPECIAL_TOKENS))
    return library


def _train_sentencepiece(texts: list[str], vocab_size: int) -> SentencePieceTokenizer:
    """BPE on characters; too rare ones are spelt in bytes. 生僻字用字节拼。"""
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_common_pieces(texts, vocab_size),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            character_coverage=1.0,
            byte_fallback=True,
            bos_id=BOS_ID,
            eos_id=EOS_ID,
            pad_id=PAD_ID,
            unk_id=UNK_ID,
            bos_piece=SPECIAL_TOKENS[BOS_ID],
            eos_piece=SPECIAL_TOKENS[EOS_ID],
            pad_piece=SPECIAL_TOKENS[PAD_ID],
            unk_piece=SPECIAL_TOKENS[UNK_ID],
            normalization_rule_name="identity",  # lossless: change nothing, add nothing
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            max_sentence_length=MAX_PIECE_BYTES,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise TokenizerError(
            f"sentencepiece cannot learn {vocab_size} tokens from this text "
            f"({str(error).splitlines()[-1].strip()}); set another tokenizer.vocab_size"
        ) from None
    return SentencePieceTokenizer(model.getvalue(), "new tokenizer")


def _common_pieces(texts: list[str], vocab_size: int) -> Iterator[str]:
    """Yield the lines of the texts, cut at too rare characters and where long. 去掉生僻字。

    The library wants a token for each character that it sees; half of the room goes to characters,
    the rest to merges. Left-out characters are spelt in bytes.
    """
    counts = Counter(itertools.chain.from_iterable(texts))
    room = max(1, (vocab_size - len(SPECIAL_TOKENS) - 256) // 2)
    common = {c for c, _ in counts.most_common(room)} - set("\n\r\0")
    for text in texts:
        for is_common, group in itertools.groupby(text, key=common.__contains__):
            if is_common:
                while piece := "".join(itertools.islice(group, MAX_PIECE)):
                    yield piece
