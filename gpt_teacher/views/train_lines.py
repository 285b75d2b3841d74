"""What the tab 动手训练 says: a check, a run, an answer -> lines of text. 动手训练页的文字。"""

from __future__ import annotations

from gpt_teacher import Pretrained
from gpt_teacher.data_check import MOST_SPELLED
from gpt_teacher.data_counts import show_characters
from gpt_teacher.errors import PromptError, TokenizerError
from gpt_teacher.own_questions import OwnQuestions
from gpt_teacher.run_log import TrainingLog
from gpt_teacher.sampler import Answer
from gpt_teacher.training_files import RunState
from gpt_teacher.training_jobs import MINUTES, TrainingRefusedError
from gpt_teacher.views.chinese import in_chinese
from gpt_teacher.views.text import Text

MAX_POINTS = 200  # of the live curve; each goes to the browser at every tick
MAX_WRONG = 20  # wrong answers that are listed
MAX_CHARACTERS = 400  # of a question


def verdict(own: OwnQuestions, text: Text) -> str:
    """Return what the check has found: the verdict first. 检查结论。"""
    counts = own.report.counts[0]
    good = text["own_good"].format(questions=counts.questions, answers=counts.answers)
    lines = [good if own.can_be_trained else text["own_bad"]]
    for finding in own.report.findings:
        sentence = spoken(finding.sentence, text)
        lines.append(text[f"own_{finding.severity}"].format(sentence=sentence))
        lines += [f"  {spoken(example, text)}" for example in finding.examples]
    if counts.spelled_share > MOST_SPELLED:
        rare = show_characters(counts.spelled, text["own_rare_more"])
        lines.append(text["own_rare"].format(characters=rare))
    return "\n".join(lines)


def unreadable(error: Exception, text: Text) -> str:
    """Return the verdict on a text that holds no table. 读不懂的文字。"""
    return f"{text['own_bad']}\n{spoken(str(error), text)}"


def spoken(message: str, text: Text) -> str:
    """Return what a check says in the language of the page. 用页面的语言说。"""
    return in_chinese(message) if text["language"] == "zh" else message


def refusal(error: TrainingRefusedError, text: Text) -> str:
    """Return why a training is not taken. 为什么不接受。"""
    return text[f"own_refused_{error.why}"].format(least=MINUTES[0], most=MINUTES[1])


def status(state: RunState, log: TrainingLog | None, text: Text) -> str:
    """Return how a run stands, a line or two. 进度。"""
    if state.phase == "waiting":
        return text["own_waiting"].format(ahead=state.ahead, minutes=state.wait_minutes)
    if state.phase == "failed":
        why = "own_failed" if state.reason else "own_cut_off"
        return text[why].format(reason=state.reason)
    if state.phase == "stopped":
        return text["own_stopped" if state.has_model else "own_withdrawn"]
    facts = {"minutes": state.minutes, "questions": state.n_questions}
    if state.phase == "finished":
        return text["own_finished"].format(**facts)
    if state.stage in ("exam", "packing"):
        return text[f"own_{state.stage}"]
    if log is None or not log.steps:
        return text["own_starting"]
    last = log.steps[-1]
    figures = {"step": last.step, "loss": last.loss_nats, "speed": last.tokens_per_second}
    running = text["own_running"].format(elapsed=last.elapsed_seconds, **facts)
    return f"{running}\n{text['own_at_step'].format(**figures)}"


def loss_points(log: TrainingLog | None) -> list[tuple[float, float]]:
    """Return (seconds, loss in nats) of the curve, the last point among them. 损失曲线。"""
    steps = log.steps if log else []
    every = -(-len(steps) // MAX_POINTS)
    return [(s.elapsed_seconds, s.loss_nats) for s in steps[::-1][:: every or 1]][::-1]


def probe_answers(log: TrainingLog | None, text: Text) -> str:
    """Return how it answered when it was last asked. 抽查题的回答。"""
    if log is None or not log.evaluations:
        return text["own_no_answers"]
    evaluation = log.evaluations[-1]
    blocks = [
        f"{text['own_asked'].format(question=sample.question)}\n"
        f"{text['own_answered'].format(answer=sample.answer)}"
        for sample in evaluation.samples
    ]
    return "\n\n".join([text["own_at"].format(step=evaluation.step), *blocks])


def result(state: RunState, text: Text) -> str:
    """Return which of the questions are answered to the letter. 学会了多少。"""
    wrong, n = state.wrong or [], state.n_questions
    if not wrong:
        return text["own_all_right"].format(questions=n)
    lines = [text["own_some_right"].format(questions=n, right=n - len(wrong))]
    for question, taught, given in wrong[:MAX_WRONG]:
        given = text["own_too_long"] if given is None else given
        lines.append(text["own_wrong"].format(question=question, taught=taught, given=given))
    if len(wrong) > MAX_WRONG:
        lines.append(text["own_more_wrong"].format(n=len(wrong) - MAX_WRONG))
    return "\n".join(lines)


def ask(teacher: Pretrained, question: str | None, text: Text) -> tuple[str, str]:
    """Return a model's answer and how sure it was. 回答与把握。"""
    if not question or not question.strip():
        return "", text["own_ask_empty"]
    try:
        given = teacher.answer(question[:MAX_CHARACTERS])
    except TokenizerError:
        return "", text["half_character"]
    except PromptError:
        return "", text["own_ask_long"].format(limit=teacher.model.config.seq_len - 1)
    return given.text, how_sure(given, teacher, text)


def how_sure(given: Answer, teacher: Pretrained, text: Text) -> str:
    """Return how sure the model was, and why it refused if it did. 把握与拒答的原因。"""
    lines = [text["own_sure"].format(mean=given.mean_probability, least=given.min_probability)]
    if given.finish_reason == "unsure":
        threshold = teacher.config.sampling.refuse_below
        lines = [text["own_refused_unsure"].format(threshold=threshold)]
    elif given.refused:
        lines.append(text["own_refused_taught"])
    return "\n".join(lines)
