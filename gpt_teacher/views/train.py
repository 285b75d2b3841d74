"""The tab 动手训练: own questions in, a model of one's own out. 动手训练。

The training belongs to a run id, not to the page: a page that is reloaded finds it by the address,
or by what the browser remembers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt_teacher.errors import DataError
from gpt_teacher.own_questions import (
    OwnQuestions,
    as_text,
    check_bytes,
    form_of_name,
    form_of_text,
)
from gpt_teacher.training_jobs import TrainingJobs, TrainingRefusedError
from gpt_teacher.views import train_lines
from gpt_teacher.views.quick_gradio import gr
from gpt_teacher.views.text import EXAMPLE_PAIRS, Text
from gpt_teacher.views.train_parts import (
    TICK_SECONDS,
    Live,
    OwnModel,
    Questions,
    build_own_model,
    build_progress,
    build_questions,
    show_run,
)

MAX_ID = 64  # characters of what is taken for a run id
# The address of the page names the run, so that a reload, or a friend, finds it.
SHOW_IN_ADDRESS = """(run) => {
    const address = new URL(window.location);
    if (run) {
        address.searchParams.set('tab', 'train');
        address.searchParams.set('run', run);
    } else address.searchParams.delete('run');
    window.history.replaceState(null, '', address);
}"""
EMPTY = "() => ['', '', '', '']"
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
CPU: dict[str, Any] = {"concurrency_id": "cpu", "concurrency_limit": 2}


def remembered_run() -> gr.BrowserState:
    """Build what the browser remembers: the run that it showed last. 浏览器记住的训练。"""
    return gr.BrowserState("", storage_key="gpt-teacher-run", secret="gpt-teacher")


def build_train_tab(
    text: Text, jobs: TrainingJobs | None, page: gr.Blocks, remembered: gr.BrowserState
) -> None:
    """Put the tab's components on the page; without jobs, say that it is off. 搭建界面。"""
    if jobs is None:
        gr.Markdown(text["own_off"])
        return
    gr.Markdown(text["own_intro"])
    current = gr.Textbox(visible="hidden", elem_id="own-current")  # the run that is shown
    with gr.Row():
        with gr.Column(min_width=300):
            questions = build_questions(text)
            own = build_own_model(text, jobs, current)
        with gr.Column(min_width=300):
            progress = build_progress(text)
    live = Live(
        timer=gr.Timer(TICK_SECONDS, active=False),
        status=progress.status,
        panel=progress.panel,
        plot=progress.plot,
        answers=progress.answers,
        start=questions.start,
        stop=questions.stop,
        own=own.column,
        result=own.result,
        download=own.download,
    )
    _connect_questions(questions, jobs, text)
    _connect_run(current, questions, live, jobs, text)
    _connect_finding(current, progress.run_id, remembered, questions.box, live, jobs, text, page)
    _connect_asking(own, current, jobs, text)


def read_box(
    jobs: TrainingJobs, written: str | None, text: Text
) -> tuple[OwnQuestions | None, str]:
    """Return the questions that are written, if they can be read, and the verdict. 读题并检查。"""
    if not written or not written.strip():
        return None, text["own_empty"]
    try:
        own = jobs.read(written.encode(errors="replace"), form_of_text(written))
    except DataError as error:
        return None, train_lines.unreadable(error, text)
    return own, train_lines.verdict(own, text)


def put_examples(written: str | None, text: Text) -> tuple[Any, str]:
    """Return the examples for an empty box, and what is said of it else. 填入例题。

    The examples themselves, as the page shows the rows of a run that it finds again, may go.
    """
    if written and written.replace("\t", ",").strip() not in ("", EXAMPLE_PAIRS.strip()):
        return gr.skip(), text["own_example_no_room"]
    return EXAMPLE_PAIRS, ""


def read_upload(jobs: TrainingJobs, path: str | None, text: Text) -> tuple[Any, str]:
    """Return the questions of a file as a text to edit, and the verdict. 读取上传的文件。"""
    if path is None:
        return gr.skip(), text["own_empty"]
    try:
        suffix = form_of_name(path)
        check_bytes(Path(path).stat().st_size)
        own = jobs.read(Path(path).read_bytes(), suffix)
    except DataError as error:
        return gr.skip(), train_lines.unreadable(error, text)
    return as_text(own.table), train_lines.verdict(own, text)


def _connect_questions(questions: Questions, jobs: TrainingJobs, text: Text) -> None:
    """Let the questions be filled in and checked."""
    box, verdict = questions.box, questions.verdict
    questions.example.click(
        lambda written: put_examples(written, text), box, [box, verdict], queue=False, **QUIET
    )
    questions.check.click(
        lambda written: read_box(jobs, written, text)[1],
        box,
        verdict,
        api_name="check_questions",
        **CPU,
        **QUIET,
    )
    questions.upload.upload(
        lambda path: read_upload(jobs, path, text),
        questions.upload,
        [box, verdict],
        api_name="upload_questions",
        **CPU,
        **QUIET,
    )


def _connect_run(
    current: gr.Textbox, questions: Questions, live: Live, jobs: TrainingJobs, text: Text
) -> None:
    """Let a training be started, watched and stopped."""

    def show(run_id: str) -> Live:
        return show_run(jobs, run_id or "", text)

    def begin(written: str, minutes: float, before: str, request: gr.Request) -> tuple[str, str]:
        shown = jobs.state(before or "")
        if shown is not None and not shown.has_ended:
            return before, text["own_refused_one_each"]
        own, verdict = read_box(jobs, written, text)
        if own is None:
            return before, verdict
        address = request.client.host if request.client else ""
        visitor = request.session_hash or address
        try:
            whole = int(minutes) if minutes in range(100) else 0
            return jobs.submit(own, whole, visitor, address), verdict
        except TrainingRefusedError as error:
            why = train_lines.refusal(error, text)
            return before, verdict if error.why == "problems" else why
        except DataError as error:
            return before, train_lines.unreadable(error, text)

    def halt(run_id: str) -> Live:
        jobs.stop(run_id or "")
        return show(run_id)

    begun = questions.start.click(
        begin,
        [questions.box, questions.minutes, current],
        [current, questions.verdict],
        api_name="train",
        trigger_mode="once",
        **CPU,
        **QUIET,
    )
    begun.then(None, current, None, js=SHOW_IN_ADDRESS, **QUIET)
    begun.then(show, current, list(live), queue=False, **QUIET)
    live.stop.click(halt, current, list(live), api_name="stop_training", queue=False, **QUIET)
    live.timer.tick(show, current, list(live), api_name="training", queue=False, **QUIET)


def _connect_finding(
    current: gr.Textbox,
    run_id: gr.Textbox,
    remembered: gr.BrowserState,
    box: gr.Textbox,
    live: Live,
    jobs: TrainingJobs,
    text: Text,
    page: gr.Blocks,
) -> None:
    """Let a run be found again: by the address, the browser's memory, or its id."""

    def known(run: str) -> tuple[str, object]:
        return run, gr.Textbox(run, info=text["own_id_info"])

    def unknown(typed: str) -> tuple[object, object]:
        return gr.skip(), gr.Textbox(typed, info=text["own_unknown_id"])

    def find(memory: str | None, request: gr.Request) -> tuple[object, object]:
        named = (request.query_params.get("run") or "")[:MAX_ID]
        for run in (named, memory):
            if isinstance(run, str) and jobs.state(run):
                return known(run)
        return unknown(named) if named else (gr.skip(), gr.skip())

    def look_up(typed: str, before: str) -> tuple[object, object]:
        typed = (typed or "").strip().lower()[:MAX_ID]
        return unknown(typed) if typed and not jobs.state(typed) else known(typed or before)

    def show(run_id: str, written: str) -> tuple[Any, ...]:
        table = None if written else jobs.questions(run_id or "")
        return (*show_run(jobs, run_id or "", text), as_text(table) if table else gr.skip())

    def remember(run: str) -> tuple[Any, ...]:
        return known(run) if run else (gr.skip(), gr.skip())

    found = page.load(find, remembered, [current, run_id], **QUIET)
    looked_up = run_id.submit(look_up, [run_id, current], [current, run_id], **QUIET)
    for event in (found, looked_up):
        event.then(show, [current, box], [*live, box], **QUIET)
    # Not where the page finds a run by itself: a plain address is for who sits down next, until a
    # training is begun.
    looked_up.then(None, current, None, js=SHOW_IN_ADDRESS, **QUIET)
    current.change(remember, current, [remembered, run_id], queue=False, **QUIET)


def _connect_asking(own: OwnModel, current: gr.Textbox, jobs: TrainingJobs, text: Text) -> None:
    """Let the model of the run answer."""

    def respond(question: str, run_id: str) -> tuple[str, str]:
        teacher = jobs.model(run_id or "")
        if teacher is None:
            return "", text["own_no_model"]
        return train_lines.ask(teacher, question, text)

    asked = gr.on(
        [own.ask.click, own.question.submit],
        respond,
        [own.question, current],
        [own.answer, own.sure],
        api_name="ask_own",
        api_visibility="private",
        trigger_mode="once",
        show_progress="minimal",
        **CPU,
    )
    # What one model has said does not stand under the next one, nor comes there late; what comes of
    # publishing may, as it names its model.
    said = [own.question, own.answer, own.sure, own.published]
    current.change(None, None, said, js=EMPTY, cancels=[asked], **QUIET)
