"""The card of a model, README.md of its repo on the Hub, made of measured facts. 模型卡。

    facts = read_facts("user/name", last, quantized, choose_samples(metrics, log, teacher.answer))
    model_card(facts), and beside it loss_curve_svg(facts.log) as loss_curve.svg

A section whose facts are not there is left out.
"""

from __future__ import annotations

from gpt_teacher.card import text as words
from gpt_teacher.card.facts import CardFacts, shown_path
from gpt_teacher.card.front_matter import exam_split, front_matter
from gpt_teacher.card.layout import LOSS_CURVE_FILE
from gpt_teacher.card.markdown import code, one_line, plain, table
from gpt_teacher.commands import quoted
from gpt_teacher.exam import FOUR_NUMBERS
from gpt_teacher.prompt import REFUSAL_ANSWER, normalise
from gpt_teacher.questions import QUESTIONS_SHARE
from gpt_teacher.run_log import LOG_FILE

ANY_QUESTION = "什么是密度?"  # asked by the example code if there are no sample answers
PRECISIONS = {"fp32": "原精度 fp32", "int8": "量化 int8"}
DASH = "–"
RESULTS, USE = "成绩 · Results", "怎样使用 · How to use"  # titles


def model_card(facts: CardFacts) -> str:
    """Return the text of the card. 生成模型卡。"""
    parts = [front_matter(facts), f"# {plain(facts.name)}"]
    for title, body in card_sections(facts).items():
        parts += [f"## {title}"] if title else []
        parts.append(body)
    return "\n\n".join(parts) + "\n"


def card_sections(facts: CardFacts) -> dict[str, str]:
    """Return the sections that have something to say: title -> Markdown. 各节。"""
    sections = {
        "": _intro(facts),
        "模型 · Model": _model(facts),
        "训练数据 · Training data": _data(facts),
        "训练过程 · Training": _training(facts),
        "损失曲线 · Loss curve": _curve(facts),
        RESULTS: _text_exam(facts) if facts.is_text else _exam(facts),
        "权重文件 · Weights": _weights(facts),
        "回答示例 · Samples": _samples(facts),
        "局限 · Limits": _limits(facts),
        USE: _use(facts),
        "许可证 · Licence": words.LICENCE,
    }
    return {title: body for title, body in sections.items() if body}


def _intro(facts: CardFacts) -> str:
    intro = words.INTRO_TEXT if facts.is_text else words.INTRO_QUESTIONS
    parts = [intro.format(name=plain(facts.name), parameters=f"{facts.parameters:,}")]
    if "unknown_refused" in facts.scores("fp32"):
        parts.append(words.INTRO_REFUSAL.format(refusal=REFUSAL_ANSWER))
    parts.append(words.INTRO_FIGURES)
    steps, max_steps = facts.metrics.get("steps"), facts.metrics.get("max_steps")
    if steps is not None and max_steps is not None and steps < max_steps:
        parts.append(words.UNFINISHED.format(steps=f"{steps:,}", max_steps=f"{max_steps:,}"))
    return "\n\n".join(parts)


def formula(facts: CardFacts) -> str:
    """Return the number of parameters, worked out. 参数量算式。"""
    model, V = facts.config.model, facts.vocab_size
    d, L, T = model.n_embd, model.n_layer, model.seq_len
    learned = model.position == "learned"
    letters = f"V·d{' + T·d' if learned else ''} + L·(12·d² + 11·d) + d"
    numbers = f"{V}·{d}{f' + {T}·{d}' if learned else ''} + {L}·(12·{d}² + 11·{d}) + {d}"
    return f"{letters} = {numbers} = **{facts.parameters:,}**"


def _model(facts: CardFacts) -> str:
    model = facts.config.model
    rows = {
        "参数量 · parameters": formula(facts),
        "层数 L · layers": model.n_layer,
        "注意力头 · heads": model.n_head,
        "宽度 d · width": model.n_embd,
        "上下文 T · context": f"{model.seq_len} 词元 · tokens",
        "词表 V · vocabulary": facts.vocab_size,
        "位置 · positions": "RoPE" if model.position == "rope" else "学习的 · learned",
        "分词器 · tokenizer": code(facts.config.tokenizer.type),
    }
    return table(["", ""], [[name, str(value)] for name, value in rows.items()])


def _data(facts: CardFacts) -> str:
    if not facts.data:
        return ""
    counted = "tokens" if facts.is_text else "rows_used"
    head = ["", "文件 · file", "词元 · tokens" if facts.is_text else "题数 · questions"]
    head += [] if facts.is_text else ["不同的回答 · answers"]
    rows = []
    for split, file in facts.data.items():
        cells = [split, code(shown_path(file.get("path", DASH))), _count(file.get(counted))]
        cells += [] if facts.is_text else [_count(file.get("answers"))]
        rows.append([*cells, code(file.get("sha256", DASH))])
    text = words.DATA_TEXT if facts.is_text else words.DATA_QUESTIONS
    return f"{table([*head, 'SHA-256'], rows)}\n\n{text}"


def _count(number: float | None) -> str:
    return DASH if number is None else f"{number:,}"


def _training(facts: CardFacts) -> str:
    """Tell what the run took; what is not known has no line. 训练过程。"""
    metrics, training = facts.metrics, facts.config.training
    versions = metrics.get("versions", {})
    seconds, memory = metrics.get("elapsed_seconds"), metrics.get("peak_memory_bytes")
    tokenizer = metrics.get("fingerprints", {}).get("tokenizer_sha256")
    known = {
        "训练时间 · time": seconds and f"{seconds:,} s = {seconds / 60:.1f} min",
        "更新次数 · updates": metrics.get("steps") and f"{metrics['steps']:,}",
        "每次的序列数 · sequences each": metrics and str(training.batch_size),
        "读过的词元 · tokens read": metrics.get("tokens") and f"{metrics['tokens']:,}",
        "处理器 · CPU": metrics.get("cpu") and plain(metrics["cpu"]),
        "设备 · device": metrics.get("device") and plain(metrics["device"]),
        "线程 · threads": metrics.get("threads") and str(metrics["threads"]),
        "计算精度 · precision": metrics and training.precision,
        "内存峰值 · peak memory": memory and f"{memory / 1e6:.0f} MB",
        "torch": versions.get("torch") and plain(versions["torch"]),
        "Python": versions.get("python") and plain(versions["python"]),
        "随机种子 · seed": None if metrics.get("seed") is None else str(metrics["seed"]),
        "代码版本 · commit": metrics.get("code_commit") and code(metrics["code_commit"]),
        "分词器 SHA-256 · tokenizer": tokenizer and code(tokenizer),
    }
    rows = [[name, value] for name, value in known.items() if value]
    return table(["", ""], rows) if rows else ""


def _curve(facts: CardFacts) -> str:
    if facts.log is None or not facts.log.steps:
        return ""
    first, last = facts.log.steps[0], facts.log.steps[-1]
    parts = [
        words.CURVE.format(
            file=LOSS_CURVE_FILE,
            first_step=f"{first.step:,}",
            first_loss=f"{first.loss_nats:.4f}",
            last_step=f"{last.step:,}",
            last_loss=f"{last.loss_nats:.4f}",
        )
    ]
    measured = [e for e in facts.log.evaluations if e.val_loss_nats is not None]
    if measured:
        step, loss = f"{measured[-1].step:,}", f"{measured[-1].val_loss_nats:.4f}"
        parts.append(words.CURVE_VALIDATION.format(step=step, loss=loss))
    weight = facts.config.training.question_weight
    if weight and not facts.is_text:
        share = f"{QUESTIONS_SHARE:.0%}"
        parts.append(words.CURVE_QUESTIONS_LEARNT.format(weight=weight, share=share))
    return "\n\n".join(parts)


def _exam(facts: CardFacts) -> str:
    scores = {name: facts.scores(name) for name in PRECISIONS}
    scores = {name: found for name, found in scores.items() if found}
    if not scores:
        return ""
    numbers = [n for n in FOUR_NUMBERS if any(n in found for found in scores.values())]
    rows = [
        [n.replace("_", " "), *(str(found.get(n, DASH)) for found in scores.values())]
        for n in numbers
    ]
    parts = [table(["", *(PRECISIONS[name] for name in scores)], rows), words.EXAM]
    threshold, same = facts.metrics.get("refuse_below"), facts.exam("int8").get("same_as_fp32")
    if threshold is not None:
        parts.append(words.EXAM_THRESHOLD.format(threshold=f"{threshold:.3f}"))
    if same is not None:
        parts.append(words.EXAM_SAME.format(same=f"{same:.1%}"))
    splits = {exam_split(facts, number) for number in numbers} & {"val", "unknown_val"}
    reused = sorted(shown_path(str(facts.data.get(split, {}).get("path"))) for split in splits)
    if reused:
        parts.append(words.EXAM_OF_VALIDATION.format(files=", ".join(map(code, reused))))
    return "\n\n".join(parts)


def _text_exam(facts: CardFacts) -> str:
    names = {
        "val_loss_nats": "验证损失（nats / 词元）· loss",
        "val_bits_per_byte": "每字节比特 · bits per byte",
        "val_tokens": "考了的词元 · tokens examined",
    }
    exams = {name: facts.exam(name) for name in PRECISIONS if facts.exam(name)}
    rows = [
        [name, *(_count(exam.get(key)) for exam in exams.values())]
        for key, name in names.items()
        if any(key in exam for exam in exams.values())
    ]
    return table(["", *(PRECISIONS[name] for name in exams)], rows) if rows else ""


def _weights(facts: CardFacts) -> str:
    rows = [
        [PRECISIONS[name], code(file.path), f"{file.n_bytes:,}", code(file.sha256)]
        for name, file in facts.weights.items()
    ]
    return table(["", "文件 · file", "字节 · bytes", "SHA-256"], rows)


def _samples(facts: CardFacts) -> str:
    if not facts.samples:
        return ""
    asked = ["开头 · opening", "续写 · continuation"]
    asked = asked if facts.is_text else ["问题 · question", "回答 · answer"]
    marks = {None: DASH, True: "是 · yes", False: "否 · no"}
    rows = []
    for sample in facts.samples:
        expected = None if sample.expected is None else sample.answer == sample.expected
        cells = [plain(sample.question), plain(sample.answer), f"{sample.confidence:.3f}"]
        rows.append([*cells, marks[expected], code(sample.source)])
    head = [*asked, "把握 · confidence", "标准答案 · as expected", "出处 · from"]
    from_log = any(sample.source == LOG_FILE for sample in facts.samples)
    origin = words.SAMPLES_FROM_LOG if from_log else words.SAMPLES_FROM_FILES
    texts = [words.SAMPLES_CONFIDENCE] if facts.is_text else [origin, words.SAMPLES_CONFIDENCE]
    return "\n\n".join([table(head, rows), *texts])


def _limits(facts: CardFacts) -> str:
    limits = words.LIMITS_TEXT if facts.is_text else words.LIMITS_QUESTIONS
    return limits.format(seq_len=facts.config.model.seq_len)


def _use(facts: CardFacts) -> str:
    """Show code that runs as it stands. 可直接运行的代码。"""
    stated = next((s for s in facts.samples if not s.refused), None)
    question = stated.question if stated else ANY_QUESTION
    if not facts.is_text:
        question = normalise(question)  # transformers would take it to the letter
    settings = facts.config.sampling
    greedy = settings.repetition_penalty == 1 and not settings.stop
    comment = f"  # {one_line(stated.answer)}" if stated and greedy else ""
    values = {
        "repo": _literal(facts.repo_id),
        "shell_repo": quoted(facts.repo_id),
        "question": _literal(question),
        "shell_question": quoted(one_line(question)),
        "comment": comment,
        "parameters": f"{facts.parameters:,}",
    }
    if facts.is_text:
        ways = [words.USE_TRANSFORMERS_TEXT, words.USE_PROJECT_TEXT]
    else:
        ways = [words.USE_TRANSFORMERS_QUESTIONS, words.USE_PROJECT_QUESTIONS]
    if "int8" in facts.weights:
        ways.append(words.USE_QUANTIZED)
    if not facts.opens_in_transformers:
        ways = [words.USE_NOT_TRANSFORMERS, ways[1]]
        values["reason"] = code(
            facts.tokenizer_file
            if facts.config.model.position == "rope"
            else f"position: {facts.config.model.position}"
        )
    return "\n\n".join(way.format(**values) for way in [words.USE_WEIGHTS, *ways])


def _literal(text: str) -> str:
    """Return Python source for a text, in double quotes where that is simple. 源代码里的字符串。"""
    simple = text.isprintable() and not set('"\\') & set(text)
    return f'"{text}"' if simple else repr(text)
