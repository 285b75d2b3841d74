"""The format of a training sequence, to the id, and the same in transformers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import jinja2
import jinja2.sandbox
import pytest
import tokenizers

from gpt_teacher.config import TokenizerConfig
from gpt_teacher.prompt import (
    CHAT_TEMPLATE,
    encode_example,
    encode_prompt,
    is_refusal,
    normalise,
)
from gpt_teacher.tokenizer import BOS_ID, EOS_ID, SPECIAL_TOKENS, Tokenizer
from gpt_teacher.tokenizer_training import train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TEXTS = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"]
QUESTIONS = [
    *TEXTS,
    "什么是密度?",
    "什么是RoPE？",
    "what is RoPE",
    "  两端有空格  ",
    "一行\n两行",
    "'引号' \"双引号\" {{ 花括号 }} {% if %}",
    "解释 RoPE 的作用",
    "<b>1 < 2 & 3</b>",
]
SAMPLE = [
    "用户:什么是密度?\n助手:",
    "密度是质量与体积的比。",
    "用户:解释 RoPE 的作用\n助手:",
    "RoPE 把位置写进注意力。what is RoPE, hello world",
    "助手:。" * 9,
]


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return train_tokenizer(SAMPLE * 3, TokenizerConfig(vocab_size=330))


@pytest.fixture(scope="module")
def char() -> Tokenizer:
    """Ids by hand: `:` stands twice, so it is 4; the others follow by code point.

    \\n 5, ? 6, 助 7, 户 8, 手 9, 用 10, 答 11, 问 12
    """
    return train_tokenizer(["用户:问?\n助手:答"], TokenizerConfig(type="char"))


def test_a_prompt_is_spelt_to_the_id(char: Tokenizer) -> None:
    # <bos> 用 户 : 问 ? 问 \n 助 手 :
    assert encode_prompt(char, "问?问") == [0, 10, 8, 4, 12, 6, 12, 5, 7, 9, 4]
    assert encode_prompt(char, "问?") == [0, 10, 8, 4, 12, 5, 7, 9, 4]  # no mark at the end
    assert encode_prompt(char, "") == [0, 10, 8, 4, 5, 7, 9, 4]


def test_an_example_is_spelt_to_the_id(char: Tokenizer) -> None:
    example = encode_example(char, "　？问\n", "答问")
    assert example.ids == [0, 10, 8, 4, 6, 12, 5, 7, 9, 4, 11, 12, 1]
    assert example.n_prompt == 10
    assert example.ids[example.n_prompt :] == [11, 12, EOS_ID]


@pytest.mark.parametrize("question", QUESTIONS, ids=ascii)
def test_training_and_asking_show_the_model_the_same_ids(bpe: Tokenizer, question: str) -> None:
    prompt_ids = encode_prompt(bpe, question)
    example = encode_example(bpe, question, "。密度")
    assert example.ids[: example.n_prompt] == prompt_ids
    assert prompt_ids[0] == BOS_ID
    assert prompt_ids.count(BOS_ID) == 1
    assert EOS_ID not in prompt_ids
    assert bpe.decode(prompt_ids) == f"用户:{normalise(question)}\n助手:"


def test_no_token_straddles_the_border_of_question_and_answer(bpe: Tokenizer) -> None:
    """`:。` is one token of this tokenizer: encoded in one go, the prompt would end in it."""
    whole = bpe.encode("用户:什么是密度\n助手:。密度")
    example = encode_example(bpe, "什么是密度", "。密度")
    assert bpe.decode(whole) == bpe.decode(example.ids)
    assert whole != example.ids[1:-1]
    assert bpe.decode(example.ids[: example.n_prompt]).endswith("助手:")


@pytest.mark.parametrize("answer", [*TEXTS, "全角？　留着 ", "<eos>"], ids=ascii)
def test_an_answer_is_kept_to_the_letter(bpe: Tokenizer, answer: str) -> None:
    example = encode_example(bpe, "什么是密度?", answer)
    *answer_ids, last = example.ids[example.n_prompt :]
    assert bpe.decode(answer_ids) == answer
    assert last == EOS_ID
    assert EOS_ID not in answer_ids


@pytest.mark.parametrize("question", QUESTIONS, ids=ascii)
def test_a_question_in_pieces_reads_the_same_in_other_tokens(bpe: Tokenizer, question: str) -> None:
    text = normalise(question)
    whole = encode_example(bpe, question, "密度")
    assert encode_example(bpe, [text], "密度") == whole
    source = random.Random(question)
    for n_cuts in (1, 2, 5):
        cuts = sorted(source.randrange(len(text) + 1) for _ in range(n_cuts))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        example = encode_example(bpe, pieces, "密度")
        assert bpe.decode(example.ids) == bpe.decode(whole.ids)
        assert bpe.decode(example.ids[: example.n_prompt]) == f"用户:{text}\n助手:"
        assert example.ids[example.n_prompt :] == whole.ids[whole.n_prompt :]


def test_the_pieces_of_a_question_are_tokenized_apart(bpe: Tokenizer) -> None:
    pieces = ["什么", "是密", "度?"]
    apart = [*bpe.encode("用户:什么"), *bpe.encode("是密"), *bpe.encode("度?\n助手:")]
    example = encode_example(bpe, pieces, "密度")
    assert example.ids[: example.n_prompt] == [BOS_ID, *apart]
    assert len(apart) > len(bpe.encode("用户:什么是密度?\n助手:"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("魑魅，hello world 🙂", "魑魅,hello world 🙂"),
        ("ＡＢＣ　，Ｄ", "ABC ,D"),
        ("\r\n\t", ""),
        ("什么是RoPE？", "什么是RoPE"),
        ("什么是 注意力　机制 ？！ ", "什么是注意力机制"),
        ("是么？真的…… 。。.", "是么?真的"),  # marks at the end only
        ("C++、C#和3.5.", "C++、C#和3.5"),
        ("（这样？）", "(这样?)"),
        ("？ ！", "? !"),  # there is nothing else
        ("中 中 中", "中中中"),
        ("what  is\r\n\tRoPE ", "what is RoPE"),
        ("解释 RoPE 的作用", "解释 RoPE 的作用"),
        ("１＋２＝？", "1+2="),
        ("！～a", "!~a"),  # the first and the last of the full-width forms
        ("｟￥｠", "｟￥｠"),  # beyond them
        ("《 红楼梦 》。 好。", "《红楼梦》。好"),
        ("カタ カナ", "カタカナ"),
        ("한국 사람", "한국 사람"),
        ("\u3000\u00a0\u2003x\u2028", "x"),
        ("，。、：", ",。、:"),
    ],
    ids=ascii,
)
def test_what_reads_the_same_is_spelt_the_same(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_normalising_twice_changes_nothing_more() -> None:
    source = random.Random(0)
    alphabet = "中文，。 　\t\nabＡ１?？《》🙂のﾊ"
    for _ in range(500):
        text = "".join(source.choices(alphabet, k=12))
        once = normalise(text)
        assert normalise(once) == once
        # Only white space and marks at the end go; each other character stays, wide or narrow.
        narrow = {"，": ",", "Ａ": "A", "１": "1", "？": "?"}
        kept = "".join(narrow.get(c, c) for c in text if not c.isspace())
        assert "".join(once.split()) == (kept.rstrip(",?。") or kept)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("什么是注意力机制?", "什么是注意力机制？"),
        ("什么是注意力机制?", " 什么是 注意力机制? \n"),
        ("what is ＲｏＰＥ？", "what is RoPE?"),
        ("什么是注意力机制", "什么是注意力机制？？"),
    ],
)
def test_two_spellings_of_one_question_are_the_same_ids(
    bpe: Tokenizer, one: str, other: str
) -> None:
    assert encode_prompt(bpe, one) == encode_prompt(bpe, other)


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("不知道，这个问题我没有学过。", True),
        ("不知道", True),
        ("我不知道", False),
        (" 不知道", False),
        ("", False),
    ],
)
def test_an_answer_that_begins_with_the_refusal_is_one(answer: str, refused: bool) -> None:
    assert is_refusal(answer) is refused


# The same format in transformers


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers opens it, with our chat template."""
    from transformers import PreTrainedTokenizerFast  # slow: not for every process

    bos, eos, pad, unk = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_buffer(tokenizer.file_bytes),
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        unk_token=unk,
        chat_template=CHAT_TEMPLATE,
    )


def _render(messages: list[dict[str, str]]) -> str:
    """What any user of the template gets; checked for both settings of Jinja's blocks."""
    plain = jinja2.Environment(autoescape=False)
    strict = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    texts = {env.from_string(CHAT_TEMPLATE).render(messages=messages) for env in (plain, strict)}
    assert len(texts) == 1
    return texts.pop()


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_the_template_writes_the_format() -> None:
    assert _render([_user("什么是密度")]) == "<bos>用户:什么是密度\n助手:"
    assert _render([_user(" \n什么是密度\t")]) == "<bos>用户:什么是密度\n助手:"
    assert _render([_user("问"), _assistant("答")]) == "<bos>用户:问\n助手:答<eos>"
    assert (
        _render([_user("问"), _assistant("答"), _user("再问")])
        == "<bos>用户:问\n助手:答<eos><bos>用户:再问\n助手:"
    )


@pytest.mark.parametrize(
    "question", ["是么？什么是密度?", "密度？ ", "密度!.", "Ｐ?", "??", " ？", "3.5"]
)
def test_the_template_does_without_marks_at_the_end(question: str) -> None:
    """As normalise() does; but for the rarer full-width forms, which stay."""
    expected = normalise(question).replace("P", "Ｐ")
    assert _render([_user(question)]) == f"<bos>用户:{expected}\n助手:"


@pytest.mark.parametrize("kind", ["bpe", "char"])
@pytest.mark.parametrize("question", QUESTIONS, ids=ascii)
def test_the_template_encoded_by_transformers_gives_our_ids(
    kind: str, question: str, request: pytest.FixtureRequest
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    fast = _fast(tokenizer)
    messages = [_user(normalise(question))]
    ours = encode_prompt(tokenizer, question)
    assert fast(_render(messages), add_special_tokens=False).input_ids == ours
    given = fast.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert given == ours


def test_a_whole_conversation_in_transformers_is_our_training_sequence(char: Tokenizer) -> None:
    """Of characters; of merged tokens one could straddle the border, see prompt.encode_example."""
    messages = [_user("问?"), _assistant("答问")]
    given = _fast(char).apply_chat_template(messages, return_dict=False)
    assert given == encode_example(char, "问?", "答问").ids
