"""The front matter of a model card: what the Hub reads. 模型卡的元数据。"""

from __future__ import annotations

from typing import Any

import yaml

from gpt_teacher.card.facts import CardFacts, shown_path

Json = dict[str, Any]  # a JSON object
LIBRARY = "gpt-teacher"  # for models that transformers has no class for
MEASURES = {  # number of the exam -> type of metric on the Hub, name, files asked from
    "memorised": ("exact_match", "memorised 教过的问题一字不差", ("train",)),
    "paraphrase": ("exact_match", "paraphrase 换个问法答对", ("test", "val")),
    "unknown_refused": (
        "accuracy",
        "unknown refused 没教过的拒答",
        ("unknown_test", "unknown_val"),
    ),
    "wrongly_refused": ("false_refusal_rate", "wrongly refused 教过的误拒", ("test", "val")),
}


def front_matter(facts: CardFacts) -> str:
    """Return the YAML block of the card, fences included. 元数据块。"""
    rope = facts.config.model.position == "rope"
    chinese = not facts.is_text or _is_chinese(facts)
    fields: Json = {
        "license": "mit",
        **({"language": ["zh"]} if chinese else {}),
        "library_name": "transformers" if facts.opens_in_transformers else LIBRARY,
        "pipeline_tag": "text-generation",
        "tags": [
            *(["chinese"] if chinese else []),
            *("education", "tiny", LIBRARY),
            *(["arcee"] if rope else []),
        ],
    }
    results = _text_results(facts) if facts.is_text else _exam_results(facts)
    if results:
        fields["model-index"] = [{"name": facts.name, "results": results}]
    return f"---\n{yaml.safe_dump(fields, allow_unicode=True, sort_keys=False)}---"


def _is_chinese(facts: CardFacts) -> bool:
    """Tell whether the text that was learnt seems to be Chinese, by its openings. 是否中文。"""
    texts = [text for sample in facts.samples for text in (sample.question, sample.answer)]
    return any("\u4e00" <= c <= "\u9fff" for text in texts for c in text)


def exam_split(facts: CardFacts, number: str) -> str:
    """Return the split that a number of the exam was asked from. 出题用的那一份。"""
    splits = MEASURES[number][2]
    used = [split for split in splits if facts.data.get(split, {}).get("rows_used")]
    return [*used, splits[0]][0]


def percent(share: float) -> float:
    """Return a share in percent, as the card shows it. 百分数。"""
    return round(100 * share, 1)


def _exam_results(facts: CardFacts) -> list[Json]:
    """Group by split: the Hub's client takes results of one split for one result. 按数据分组。"""
    metrics: dict[str, list[Json]] = {}
    for number, score in facts.scores("fp32").items():
        kind, name, _ = MEASURES[number]
        name = f"{name} ({score.hits}/{score.questions}, %)"
        metric = _metric(kind, name, percent(score.share))
        metrics.setdefault(exam_split(facts, number), []).append(metric)
    task = {"type": "question-answering", "name": "Question answering 问答"}
    return [_result(facts, task, split, found) for split, found in metrics.items()]


def _text_results(facts: CardFacts) -> list[Json]:
    bits = facts.exam("fp32").get("val_bits_per_byte")
    if bits is None:
        return []
    metric = _metric("bits_per_byte", "bits per byte 每字节比特", bits)
    return [_result(facts, {"type": "text-generation", "name": "Text 续写"}, "val", [metric])]


def _metric(kind: str, name: str, value: float) -> Json:
    return {"type": kind, "name": name, "value": value, "verified": False}


def _result(facts: CardFacts, task: Json, split: str, metrics: list[Json]) -> Json:
    """Describe results on files that are no data set of the Hub. 一份数据上的成绩。"""
    name = shown_path(str(facts.data.get(split, {}).get("path", split)))
    dataset = {"name": name, "type": "custom", "split": split}
    # A copy: YAML would write a mapping that stands twice as a reference.
    return {"task": dict(task), "dataset": dataset, "metrics": metrics}
