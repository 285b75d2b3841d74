"""Training in the page, without the page: the queue, the process, what is left on the disk."""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import largest_file
from page_jobs import PAIRS, STUB, UNTIMED, WRITTEN, end_of, quick_config, state_of, stub, wait_for

from gpt_teacher import from_pretrained
from gpt_teacher.config import Config, load_config
from gpt_teacher.errors import DataError
from gpt_teacher.own_questions import OwnQuestions
from gpt_teacher.training_files import ROOT, SILENT_SECONDS, RunFiles, page_config
from gpt_teacher.training_jobs import Limits, TrainingJobs, TrainingRefusedError
from gpt_teacher.views.text import TEXTS
from gpt_teacher.views.train_lines import result

Jobs = Callable[..., TrainingJobs]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return quick_config(tmp_path_factory.mktemp("quick"))


@pytest.fixture
def make_jobs(config: Config, tmp_path: Path) -> Iterator[Jobs]:
    """Makes managers of tmp_path/page whose worker waits for a file `go`."""
    made: list[TrainingJobs] = []

    def make(limits: Limits | None = None, program: str = STUB) -> TrainingJobs:
        made.append(TrainingJobs(config, tmp_path / "page", limits, stub(program)))
        return made[-1]

    yield make
    for jobs in made:
        jobs.close()


def questions(jobs: TrainingJobs, written: str = WRITTEN) -> OwnQuestions:
    return jobs.read(written.encode(), ".txt")


def submit(jobs: TrainingJobs, visitor: str, address: str = "here", minutes: int = 1) -> str:
    return jobs.submit(questions(jobs), minutes, visitor, address)


def let_go(jobs: TrainingJobs, run_id: str) -> None:
    """Let the waiting worker of a run finish."""
    (jobs.folder / run_id / "go").touch()


# ---------------------------------------------------------------- the queue


def test_one_run_at_a_time_and_each_knows_its_place(make_jobs: Jobs) -> None:
    jobs = make_jobs()
    first, second, third = (submit(jobs, v, minutes=m) for v, m in (("a", 3), ("b", 2), ("c", 1)))
    wait_for(lambda: state_of(jobs, first).phase == "running")
    assert [(s.phase, s.ahead, s.wait_minutes) for s in map(jobs.state, (second, third)) if s] == [
        ("waiting", 1, 3),
        ("waiting", 2, 5),
    ]
    assert not (jobs.folder / second / "started").exists()
    let_go(jobs, first)
    wait_for(lambda: state_of(jobs, second).phase == "running")
    assert state_of(jobs, first).phase == "finished"
    assert (state_of(jobs, third).ahead, state_of(jobs, third).wait_minutes) == (1, 2)


def test_a_run_that_waits_can_be_withdrawn_and_the_others_move_up(make_jobs: Jobs) -> None:
    jobs = make_jobs()
    first, second, third = (submit(jobs, visitor) for visitor in "abc")
    jobs.stop(second)
    assert state_of(jobs, second).phase == "stopped"
    assert not state_of(jobs, second).has_model
    assert state_of(jobs, third).ahead == 1
    jobs.stop(first)  # at whatever point of its start
    assert end_of(jobs, first).phase == "stopped"
    wait_for(lambda: state_of(jobs, third).phase == "running")
    assert not (jobs.folder / second / "started").exists()


def test_two_hundred_trainings_fill_the_queue_and_no_more(make_jobs: Jobs) -> None:
    jobs = make_jobs()
    own = questions(jobs)
    taken, refused = [], []
    for number in range(200):
        try:
            taken.append(jobs.submit(own, 1, f"visitor {number}", f"10.0.0.{number % 4}"))
        except TrainingRefusedError as error:
            refused.append(error.why)
        wait_for(lambda: jobs.state(taken[0]).phase == "running")  # type: ignore[union-attr]
    assert len(taken) == Limits().waiting + 1
    assert set(refused) == {"full"}
    assert len(list(jobs.folder.glob("*/run.json"))) == len(taken)


def test_a_visitor_has_one_run_and_an_address_its_share(make_jobs: Jobs) -> None:
    jobs = make_jobs(Limits(per_address=2))
    submit(jobs, "a")
    with pytest.raises(TrainingRefusedError, match="one_each"):
        submit(jobs, "a", "elsewhere")
    second = submit(jobs, "b")
    with pytest.raises(TrainingRefusedError, match="crowd"):
        submit(jobs, "c")
    submit(jobs, "d", "elsewhere")
    jobs.stop(second)
    submit(jobs, "c")


@pytest.mark.parametrize("minutes", [0, 6, -1, 10**9])
def test_minutes_out_of_range_are_refused(make_jobs: Jobs, minutes: int) -> None:
    jobs = make_jobs()
    with pytest.raises(TrainingRefusedError, match="minutes"):
        submit(jobs, "a", minutes=minutes)
    assert not list(jobs.folder.glob("*/run.json"))


def test_questions_with_a_problem_are_refused(make_jobs: Jobs) -> None:
    jobs = make_jobs()
    own = questions(jobs, "谁是班长?\t小明\n谁是班长?\t小红")
    with pytest.raises(TrainingRefusedError, match="problems"):
        jobs.submit(own, 1, "a", "here")


def test_a_full_disk_takes_no_training_and_keeps_no_rest(make_jobs: Jobs) -> None:
    jobs = make_jobs()
    own = questions(jobs)
    with largest_file(1000), pytest.raises(DataError, match="no room to train"):
        jobs.submit(own, 1, "a", "here")
    assert [*jobs.folder.iterdir()] == []
    assert jobs.submit(own, 1, "a", "here")


# ---------------------------------------------------------------- ids, crashes, restarts


@pytest.mark.parametrize(
    "run_id",
    ["", "..", "../../x", "a" * 24 + "/..", "A" * 24, "a" * 23, "a" * 24, "\0", "x" * 10**6],
)
def test_a_name_that_is_no_run_finds_nothing(make_jobs: Jobs, run_id: str) -> None:
    jobs = make_jobs()
    (jobs.folder.parent / "x").mkdir()
    (jobs.folder.parent / "x" / "run.json").write_text("{}", encoding="utf-8")
    assert jobs.state(run_id) is None
    assert jobs.log(run_id) is None
    assert jobs.model(run_id) is None
    assert jobs.questions(run_id) is None
    jobs.stop(run_id)


def test_ids_cannot_be_guessed_from_others(make_jobs: Jobs) -> None:
    jobs = make_jobs()
    ids = [submit(jobs, visitor) for visitor in "abcd"]
    assert len(set(ids)) == 4
    assert all(len(run_id) == 24 for run_id in ids)
    assert len({run_id[:6] for run_id in ids}) == 4


# For the programs of workers: whether the question that they are given has the word bad.
IS_BAD = "'bad' in open(sys.argv[1] + '/train.jsonl', encoding='utf-8').read()"


def test_a_crash_is_the_failure_of_one_run(make_jobs: Jobs) -> None:
    crash = f"import sys\nif {IS_BAD}: sys.exit('boom')"
    jobs = make_jobs(program=crash)
    bad = jobs.submit(questions(jobs, "bad?\tyes"), 1, "a", "here")
    good = jobs.submit(questions(jobs, "good?\tyes"), 1, "b", "here")
    assert (end_of(jobs, bad).phase, end_of(jobs, bad).reason) == ("failed", "boom")
    assert end_of(jobs, good).reason == "exit 0"  # it left no end.json


def test_a_worker_that_hangs_is_killed_and_the_next_begins(make_jobs: Jobs) -> None:
    hang = f"import sys, time\nif {IS_BAD}: time.sleep(99)\n"
    jobs = make_jobs(Limits(grace_seconds=-59.5), hang + STUB)
    bad = jobs.submit(questions(jobs, "bad?\tyes"), 1, "a", "here")
    good = jobs.submit(questions(jobs, "good?\tyes"), 1, "b", "here")
    let_go(jobs, good)
    assert end_of(jobs, bad).phase == "failed"
    assert end_of(jobs, good).phase in ("finished", "failed")  # on a slow machine killed, too


def test_a_page_that_starts_anew_finds_the_runs_of_before(make_jobs: Jobs) -> None:
    before = make_jobs()
    done, cut_off = submit(before, "a"), submit(before, "b")
    let_go(before, done)
    assert end_of(before, done).phase == "finished"
    after = make_jobs()
    assert state_of(after, done) == state_of(before, done)
    assert (state_of(after, cut_off).phase, state_of(after, cut_off).reason) == ("failed", "")
    table = after.questions(cut_off)
    assert table is not None
    assert [[row.prompt, row.completion] for row in table.rows] == PAIRS


def test_a_run_whose_worker_lives_is_not_called_cut_off(make_jobs: Jobs) -> None:
    before, after = make_jobs(), make_jobs()
    run_id = submit(before, "a")
    wait_for(lambda: state_of(before, run_id).phase == "running")
    files = RunFiles(before.folder / run_id)
    files.beat.touch()
    files.stage.write_text("packing", encoding="utf-8")
    assert state_of(after, run_id) == state_of(before, run_id)
    assert not state_of(after, run_id).has_ended
    for moved in (-SILENT_SECONDS, SILENT_SECONDS + 9):  # killed; a clock that was set back
        os.utime(files.beat, (time.time() + moved,) * 2)
        assert state_of(after, run_id).phase == "failed"
    files.beat.touch()
    let_go(before, run_id)
    end_of(before, run_id)
    assert state_of(after, run_id).phase == "finished"


def test_old_runs_are_deleted_but_none_that_goes_on(make_jobs: Jobs) -> None:
    jobs = make_jobs(Limits(kept=1, kept_hours=1))
    ended = []
    for number in range(3):
        ended.append(submit(jobs, f"visitor {number}"))
        let_go(jobs, ended[-1])
        end_of(jobs, ended[-1])
        os.utime(jobs.folder / ended[-1] / "end.json", (10**9 + number,) * 2)
    os.utime(jobs.folder / ended[-1] / "end.json")
    other = jobs.folder / "notes"
    other.mkdir()
    running = submit(jobs, "a")
    waiting = submit(jobs, "b")
    os.utime(jobs.folder / running / "run.json", (0, 0))
    submit(jobs, "c")
    assert jobs.state(ended[0]) is None
    assert jobs.state(ended[1]) is None
    assert all(jobs.state(run_id) for run_id in (ended[2], running, waiting))
    assert other.is_dir()


# ---------------------------------------------------------------- the training itself


def test_the_page_trains_with_the_projects_unknown_questions_and_leaves_a_core(
    tmp_path: Path,
) -> None:
    shipped = load_config(ROOT / "config.yaml")
    config = page_config(shipped, RunFiles(tmp_path))
    assert config.data.unknown_path == str(ROOT / "data" / "unknown.jsonl")
    assert (config.data.val_path, config.data.test_path) == (None, None)
    assert 1 <= config.training.threads <= max(1, (os.cpu_count() or 1) - 1)
    assert (config.model, config.sampling) == (shipped.model, shipped.sampling)
    gone = replace(shipped, data=replace(shipped.data, unknown_path="data/none.jsonl"))
    assert page_config(gone, RunFiles(tmp_path)).data.unknown_path is None


def test_twenty_questions_are_learnt_and_handed_out(config: Config, tmp_path: Path) -> None:
    jobs = TrainingJobs(config, tmp_path / "page", UNTIMED)
    run_id = submit(jobs, "a")
    files = jobs.files(run_id)
    assert files is not None
    wait_for(lambda: state_of(jobs, run_id).stage == "training" and jobs.log(run_id))
    assert jobs.model(run_id) is None
    ended = end_of(jobs, run_id)
    assert (ended.phase, ended.wrong, ended.has_model) == ("finished", [], True), ended.reason
    model = jobs.model(run_id)
    assert model is not None
    assert [model.answer(question).text for question, _ in PAIRS] == [a for _, a in PAIRS]
    log = jobs.log(run_id)
    assert log is not None
    assert log.last_step == config.training.max_steps
    assert not files.checkpoints.exists()
    assert {p.name for p in tmp_path.iterdir()} == {"page"}
    with zipfile.ZipFile(files.archive) as archive:
        archive.extractall(tmp_path / "unpacked")
    unpacked = tmp_path / "unpacked" / "my-gpt"
    for folder in (unpacked, unpacked / "quantized"):
        assert from_pretrained(folder).answer(PAIRS[0][0]).text == PAIRS[0][1]
    assert "my-gpt" in (unpacked / "README.md").read_text(encoding="utf-8")
    for path in unpacked.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), path


def test_a_question_too_long_to_be_asked_does_not_cost_the_model(
    config: Config, tmp_path: Path
) -> None:
    """It was left out of the training, and asked afterwards: the run had failed, its model gone."""
    jobs = TrainingJobs(config, tmp_path / "page", UNTIMED)
    too_long = "长" * 200
    own = questions(jobs, f"{WRITTEN}\n{too_long}\t太长了。")
    run_id = jobs.submit(own, 1, "a", "here")
    ended = end_of(jobs, run_id)
    assert (ended.phase, ended.has_model) == ("finished", True), ended.reason
    assert ended.wrong == [[too_long, "太长了。", None]]
    shown = result(ended, TEXTS["zh"])
    assert "却答：（问题太长，模型读不下，没有学）" in shown


def test_a_run_that_is_stopped_leaves_a_whole_model(config: Config, tmp_path: Path) -> None:
    long = replace(config, training=replace(config.training, max_steps=10**6))
    jobs = TrainingJobs(long, tmp_path / "page", UNTIMED)
    run_id = submit(jobs, "a")
    wait_for(lambda: jobs.log(run_id) and jobs.log(run_id).last_step >= 20)  # type: ignore[union-attr]
    if hasattr(os, "getpriority"):
        worker = jobs._running.process  # type: ignore[union-attr]
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert worker is not None
        assert os.getpriority(os.PRIO_PROCESS, worker.pid) > min(own, 18)
    jobs.stop(run_id)
    again = TrainingJobs(long, tmp_path / "page", UNTIMED)  # the page, started anew meanwhile
    assert (state_of(again, run_id).phase, state_of(again, run_id).reason) == ("running", "")
    ended = end_of(again, run_id)
    assert ended == end_of(jobs, run_id)
    assert (ended.phase, ended.has_model) == ("stopped", True), ended.reason
    model, files = jobs.model(run_id), jobs.files(run_id)
    assert model is not None
    assert files is not None
    steps = model.metrics["steps"]
    assert isinstance(steps, int)
    assert 20 <= steps < 10**5
    assert model.config.sampling.refuse_below is not None
    quantized = from_pretrained(files.model / "quantized")
    for name, weights in model.model.state_dict().items():
        torch.testing.assert_close(
            quantized.model.state_dict()[name], weights, atol=0.05, rtol=0.05
        )
    assert json.loads((files.end).read_text(encoding="utf-8"))["phase"] == "stopped"
