"""The loss curve: points where they belong by hand, and a picture that needs nothing else."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from conftest import TinyRun

from gpt_teacher.card import loss_curve
from gpt_teacher.card.loss_curve import MAX_POINTS, Point, loss_curve_svg, thinned
from gpt_teacher.run_log import LOG_FILE, Evaluation, Step, TrainingLog, read_log

SVG = "{http://www.w3.org/2000/svg}"


def log_of(steps: dict[int, float], validation: dict[int, float | None]) -> TrainingLog:
    return TrainingLog(
        {},
        [Step(step, loss, 1e-3, 1.0, 9_000, float(step)) for step, loss in steps.items()],
        [Evaluation(step, loss, []) for step, loss in validation.items()],
        {},
    )


def drawn(svg: str) -> list[list[tuple[float, float]]]:
    """The points of each line, in pixels."""
    found = []
    for line in ElementTree.fromstring(svg).iter(f"{SVG}polyline"):
        pairs = [pair.split(",") for pair in line.attrib["points"].split()]
        found.append([(float(x), float(y)) for x, y in pairs])
    return found


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_points_lie_where_a_ruler_puts_them() -> None:
    """The plot goes from 78 to 726 and from 362 up to 64; the loss from 1 up to 10."""
    steps = {25: 2.0, 50: math.sqrt(10), 100: 1.0}
    training, validation = drawn(loss_curve_svg(log_of(steps, {0: 5.0, 100: 1.0})))
    assert training[1:] == [(402.0, 213.0), (726.0, 362.0)], "half-way on a log scale"
    assert training[0] == (240.0, pytest.approx(362 - 298 * math.log10(2), abs=0.051))
    assert validation == [(78.0, pytest.approx(362 - 298 * math.log10(5), abs=0.051)), (726.0, 362)]


def test_the_ticks_are_round_numbers_of_the_ranges() -> None:
    shown = texts(loss_curve_svg(log_of({1: 6.7, 1_400: 0.3}, {})))
    numbers = [text for text in shown if re.fullmatch(r"[\d.,]+", text)]
    losses, updates = numbers[:6], numbers[6:]
    assert losses == ["0.2", "0.5", "1", "2", "5", "10"]
    assert updates == ["0", "200", "400", "600", "800", "1,000", "1,200", "1,400"]


def test_a_wide_range_is_marked_in_powers_of_ten() -> None:
    shown = texts(loss_curve_svg(log_of({1: 6.7, 500_000: 0.0007}, {})))
    assert [text for text in shown if re.fullmatch(r"[\d.]+", text)][:5] == [
        "0.001", "0.01", "0.1", "1", "10"
    ]  # fmt: skip


def test_thinning_takes_means_between_the_first_and_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loss_curve, "MAX_POINTS", 4)
    steps = log_of({1: 8, 2: 6, 3: 2, 4: 4, 5: 2, 6: 1}, {}).steps
    assert thinned(steps) == [Point(1, 8), Point(2.5, 4), Point(4.5, 3), Point(6, 1)]


@pytest.mark.parametrize("n", [1, 2, MAX_POINTS, MAX_POINTS + 1, 5 * MAX_POINTS - 7])
def test_thinning_loses_no_update_and_keeps_the_ends(n: int) -> None:
    steps = log_of({step: 1 + 1 / step for step in range(1, n + 1)}, {}).steps
    points = thinned(steps)
    assert len(points) == min(n, MAX_POINTS)
    assert points[0] == (1, 2.0)
    assert points[-1] == (n, 1 + 1 / n)
    assert [p.step for p in points] == sorted({p.step for p in points})


def test_losses_without_a_place_on_a_log_scale_do_no_harm() -> None:
    svg = loss_curve_svg(log_of({1: 2.0, 2: math.inf, 3: math.nan, 4: 0.0}, {2: None, 4: 0.0}))
    training, validation = drawn(svg)
    assert [x for x, _ in training] == [240.0, 726.0]
    assert validation == [(726.0, 362.0)]
    assert not re.search(r"\b(nan|inf)\b", svg)


@pytest.mark.parametrize(
    ("steps", "validation", "n_lines"),
    [({1: 3.0}, {}, 1), ({}, {0: 3.0}, 1), ({}, {0: None}, 0), ({1: 2.0}, {1: 2.0}, 2)],
)
def test_the_legend_names_what_is_drawn(
    steps: dict[int, float], validation: dict[int, float | None], n_lines: int
) -> None:
    svg = loss_curve_svg(log_of(steps, validation))
    assert len(drawn(svg)) == n_lines
    assert ("训练损失 · training loss" in texts(svg)) == bool(steps)
    known = [loss for loss in validation.values() if loss is not None]
    assert ("验证损失 · validation loss" in texts(svg)) == bool(known)


def test_the_picture_of_a_run_needs_nothing_else_and_is_always_the_same(tiny_run: TinyRun) -> None:
    log = read_log(tiny_run.last / LOG_FILE)
    svg = loss_curve_svg(log)
    assert svg == loss_curve_svg(read_log(tiny_run.last / LOG_FILE))
    training, validation = drawn(svg)
    assert len(training) == len(log.steps)
    assert len(validation) == len(log.evaluations)
    assert "viewBox" in ElementTree.fromstring(svg).attrib
    outside = re.findall(r"<script|<image|<foreignObject|href|url\(|@import|https?://\S+", svg)
    assert outside == ['http://www.w3.org/2000/svg"']
    assert not re.search(r"\son\w+=", svg)


def test_text_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_curve, "TITLE", "<script>a & b</script>")
    svg = loss_curve_svg(log_of({1: 2.0}, {}))
    assert "<script" not in svg
    assert "<script>a & b</script>" in texts(svg)
