"""What the report card shows of the served model: read once, for both languages. 成绩单的数据。"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gpt_teacher import Origin, Pretrained
from gpt_teacher.card.facts import CardFacts, WeightsFile, read_facts
from gpt_teacher.card.model_card import RESULTS, USE, card_sections
from gpt_teacher.checkpoint import load_checkpoint, quantized_twin
from gpt_teacher.errors import GPTTeacherError
from gpt_teacher.exam import Score
from gpt_teacher.quantize import is_quantized
from gpt_teacher.stored_report import PRECISIONS, ModelReport, StoredReport, read_report

Rows = list[list[str | int]]
NONE = "–"


@dataclass(frozen=True)
class ReportCard:
    """The report card of a checkpoint. 成绩单。"""

    origin: Origin
    weights: dict[str, WeightsFile]  # fp32, int8 or both
    metrics: dict[str, Any]
    scores: dict[str, dict[str, Score]]  # precision -> the four numbers
    report: StoredReport | None  # the whole exam, if it was stored
    card: str  # Markdown of measured facts, escaped

    def json(self) -> dict[str, Any]:
        """Return it as a JSON object, for /exam. 供接口使用。"""
        return {
            "repo_id": self.origin.repo_id,
            "commit": self.origin.commit,
            "weights": {
                name: {"n_bytes": file.n_bytes, "sha256": file.sha256}
                for name, file in self.weights.items()
            },
            "code_commit": self.metrics.get("code_commit"),
            "scores": {
                name: {key: score._asdict() for key, score in scores.items()}
                for name, scores in self.scores.items()
            },
            "report": self.report and self.report.json,
        }


def read_report_card(teacher: Pretrained) -> ReportCard:
    """Return the report card of the served model; nothing long is computed. 读取成绩单。

    The four numbers are of the stored exam, which asks every question, else of the run's end.
    """
    facts = _facts(teacher)
    report = read_report(teacher.folder)
    measured = {name: facts.scores(name) for name in PRECISIONS}
    if report is not None:
        measured = {name: model.scores for name, model in report.models.items()}
    scores = {name: found for name, found in measured.items() if found}
    return ReportCard(teacher.origin, facts.weights, facts.metrics, scores, report, _card(facts))


def _facts(teacher: Pretrained) -> CardFacts:
    """Return what is known of the model and, if they are of one run, of its quantized twin."""
    last = load_checkpoint(teacher.folder)
    name = teacher.origin.repo_id or teacher.folder.name
    quantized = is_quantized(last.tensors)
    try:
        twin = None if quantized else quantized_twin(teacher.folder)
        facts = read_facts(name, last, load_checkpoint(twin) if twin else None, [], with_log=False)
    except GPTTeacherError:  # the twin is of another run, or damaged: it is not served here
        facts = read_facts(name, last, None, [], with_log=False)
    return replace(facts, weights={"int8": facts.weights["fp32"]}) if quantized else facts


def _card(facts: CardFacts) -> str:
    """Return the card without what the page itself shows: curve, scores, how to ask."""
    sections = card_sections(facts)
    shown = {title: body for title, body in sections.items() if title not in (RESULTS, USE)}
    return "\n\n".join(f"### {title}\n\n{body}" if title else body for title, body in shown.items())


# ---------------------------------------------------------------- rows of the tables


def percent(score: Score | None) -> str:
    """Return `94.0% (47/50)`. 百分比。"""
    return f"{score.share:.1%} ({score.hits}/{score.questions})" if score else NONE


def subject_rows(report: StoredReport) -> Rows:
    """Return [subject, a score for each precision], the best subject first. 各学科。"""
    columns = [model.by_subject for model in report.models.values()]
    first = columns[0]
    ordered = sorted(first, key=lambda name: -first[name].share)
    return [[name, *(percent(column.get(name)) for column in columns)] for name in ordered]


def topic_rows(report: StoredReport) -> Rows:
    """Return [topic, right, asked], the worst first. 最差的知识点。"""
    return [[name, score.hits, score.questions] for name, score in _first(report).worst_topics]


def confusion_rows(report: StoredReport) -> Rows:
    """Return [asked about, answered about, times], the commonest first. 混淆。"""
    return [list(one) for one in _first(report).confusions]


def curve_rows(report: StoredReport) -> list[tuple[float, float, str]]:
    """Return (answered in %, wrong among these in %, precision), as shown in the chart. 曲线。"""
    return [
        (round(100 * point.coverage, 1), round(100 * point.risk, 1), name)
        for name, model in report.models.items()
        for point in model.curve
        if point.coverage
    ]


def _first(report: StoredReport) -> ModelReport:
    return next(iter(report.models.values()))
