r"""Question and answer -> ids, and which of them are learnt. 问答的格式，只写在这里。

    <bos>用户:{prompt}\n助手:{completion}<eos>
                           └─ learnt ──────┘

At inference the sequence stops after `助手:`. The prompt is normalised, in training and inference
alike, so that `什么是注意力？` and `什么是 注意力` are one question; the completion is kept to the
letter.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gpt_teacher.tokenizer import BOS_ID, EOS_ID, SPECIAL_TOKENS, Tokenizer

USER, ASSISTANT = "用户:", "\n助手:"
REFUSAL = "不知道"  # an answer that begins so is a refusal
REFUSAL_ANSWER = REFUSAL + "，这个问题我没有学过。"
LEADING_PUNCTUATION = " \t\r\n,.;:!?，。；：！？、"  # is left out where an answer begins with it

# The same format for `transformers`, which tokenizes the text of this template in one go. Of what
# normalise() does it does the commonest, in words that other readers of templates know, too.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}"
    "{%- set question = message['content'].split('？') | join('?') | trim -%}"
    "{{ '" + SPECIAL_TOKENS[BOS_ID] + USER + "' + (question.rstrip('?!. ') or question) + '\\n' }}"
    "{{ '" + ASSISTANT.strip() + "' }}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{ message['content'] + '" + SPECIAL_TOKENS[EOS_ID] + "' }}"
    "{%- endif -%}"
    "{%- endfor -%}"
)

_END_MARKS = " ?!.,;:~。、…"  # after full-width forms have become half-width
_FULL_WIDTH = {0xFF01 + n: 0x21 + n for n in range(94)} | {0x3000: 0x20}
_CJK = "\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SPACE_BETWEEN_CJK = re.compile(rf"(?<=[{_CJK}]) (?=[{_CJK}])")


class Example(NamedTuple):
    """One training sequence; its first n_prompt ids are given, not learnt. 样本。"""

    ids: list[int]
    n_prompt: int


def normalise(text: str) -> str:
    """Return one spelling for what reads the same. 统一写法。

    Full-width forms become half-width (`Ａ` -> `A`), white space becomes one space, and spaces
    between Chinese characters go; `what is RoPE` keeps its spaces. Marks at the end go, too, unless
    there is nothing else: many ask without, and whether one is there must not decide the answer.
    """
    text = " ".join(text.translate(_FULL_WIDTH).split())
    text = _SPACE_BETWEEN_CJK.sub("", text)
    return text.rstrip(_END_MARKS) or text


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Return the ids that the model sees before it answers. 提问的编号。"""
    return [BOS_ID, *tokenizer.encode(USER + normalise(prompt) + ASSISTANT)]


def encode_example(tokenizer: Tokenizer, prompt: str | list[str], completion: str) -> Example:
    """Return a training sequence; a list holds the pieces of a normalised prompt. 训练样本。

    Prompt and completion are encoded apart, so that no token straddles the border: at inference the
    model sees the same prompt ids.
    """
    if isinstance(prompt, str):
        prompt_ids = encode_prompt(tokenizer, prompt)
    else:
        first, *middle = [USER + prompt[0], *prompt[1:]]
        pieces = [first, *middle[:-1], middle[-1] + ASSISTANT] if middle else [first + ASSISTANT]
        prompt_ids = [BOS_ID, *(i for piece in pieces for i in tokenizer.encode(piece))]
    return Example([*prompt_ids, *tokenizer.encode(completion), EOS_ID], len(prompt_ids))


def is_refusal(answer: str) -> bool:
    """Tell whether an answer says that the model does not know. 是否拒答。"""
    return answer.startswith(REFUSAL)
