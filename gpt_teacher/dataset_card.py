"""The card of the corpus, data/README.md, with every figure counted. 数据集说明。"""

from __future__ import annotations

from collections import Counter

from gpt_teacher.corpus import SPLITS, UNKNOWN_SPLITS, Corpus
from gpt_teacher.data_counts import n_topics
from gpt_teacher.prompt import REFUSAL_ANSWER

CARD = """---
license: mit
language:
- zh
pretty_name: GPT Teacher 课堂问答
task_categories:
- question-answering
- text-generation
size_categories:
- {size}
configs:
- config_name: taught
  data_files:
  - {{split: train, path: train.jsonl}}
  - {{split: validation, path: val.jsonl}}
  - {{split: test, path: test.jsonl}}
- config_name: unknown
  data_files:
  - {{split: train, path: unknown.jsonl}}
  - {{split: validation, path: unknown_val.jsonl}}
  - {{split: test, path: unknown_test.jsonl}}
---

# 课堂问答语料 · Questions and answers for a class

为 GPT 小老师编写的中文问答：{n_topics} 个知识点，{n_known:,} 个问法；
另有 {n_unknown_topics:,} 个没教过的话题，{n_unknown:,} 个问题，都应回答“{refusal}”。

Written for this project: {n_topics} topics in {n_known:,} wordings, and {n_unknown:,} questions
on {n_unknown_topics:,} other topics, which are to be refused.

## 文件 · Files

每行一个 JSON 对象：`prompt`（问题）、`completion`（标准回答）、`id`、`subject`（学科）、
`kind`（类别）、`topic`（知识点的名字，教过的有 {n_names} 个：同名的在不同学科里各有回答）。
One JSON object a line, in UTF-8; the taught topics have {n_names} names in `topic`, since topics of
two subjects may share one and have an answer each.

| 文件 | 问题数 | 知识点 | 用途 |
| --- | --- | --- | --- |
{files}

同一知识点的训练、验证、测试问法措辞不同；没教过的话题在三份文件里互不重复。
The wordings of a topic differ between train, val and test; the unknown topics of the three files
are disjoint.

## 学科 · Subjects

| 学科 | 知识点 | 训练问法 | 验证 | 测试 |
| --- | --- | --- | --- | --- |
{subjects}

## 没教过的问题 · Unknown questions

| 类别 | 话题 | 问题数 |
| --- | --- | --- |
{unknown}

近邻：和教过的知识点很像，其实是另一个；百科：别的常识；个人、实时：模型不可能知道；胡言、外语：乱敲的字和外语。

## 由来与局限 · Origin and limits

问题与回答都是为本项目编写的，回答力求正确、自足，每条不超过 45 个字，
但仍可能有错，也只代表一种说法。
修改 `source/` 里的源文件后，用 `python -m scripts.build_data` 重新生成本目录的其余文件，用
`python -m scripts.check_data data/*.jsonl` 检查。

Every figure on this page was counted by `python -m scripts.build_data`.
"""
USES = {
    "train": "训练",
    "val": "验证：调整做法，拟合拒答门槛",
    "test": "测试：只用来打分",
    "unknown": "训练：学会拒答",
    "unknown_val": "验证：拟合拒答门槛",
    "unknown_test": "测试：只用来打分",
}


def dataset_card(corpus: Corpus) -> str:
    """Return the text of the card. 生成说明。"""
    known = [item for split in SPLITS for item in corpus[split]]
    unknown = [item for split in UNKNOWN_SPLITS.values() for item in corpus[split]]
    files = [
        f"| `{split}.jsonl` | {len(items):,} | {n_topics(items)} | {USES[split]} |"
        for split, items in corpus.items()
    ]
    subjects = [
        f"| {subject} | {n_topics([i for i in known if i.subject == subject])} | "
        + " | ".join(str(sum(i.subject == subject for i in corpus[s])) for s in SPLITS)
        + " |"
        for subject in dict.fromkeys(item.subject for item in known)
    ]
    kinds = Counter(item.kind for item in unknown)
    return CARD.format(
        size="1K<n<10K" if len(known) + len(unknown) < 10_000 else "10K<n<100K",
        n_topics=n_topics(known),
        n_names=len({item.topic for item in known}),
        n_known=len(known),
        n_unknown_topics=n_topics(unknown),
        n_unknown=len(unknown),
        refusal=REFUSAL_ANSWER,
        files="\n".join(files),
        subjects="\n".join(subjects),
        unknown="\n".join(
            f"| {kind} | {n_topics([i for i in unknown if i.kind == kind])} | {n} |"
            for kind, n in kinds.most_common()
        ),
    )
