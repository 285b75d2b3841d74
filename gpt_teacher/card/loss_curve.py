"""The loss curve of a run as an SVG picture: what a model card shows. 损失曲线图。

Self-contained: no script, no font, no library; the same log gives the same bytes.
"""

from __future__ import annotations

import math
from typing import NamedTuple
from xml.sax.saxutils import escape

from gpt_teacher.run_log import Step, TrainingLog

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 78, 34, 64, 58  # margins around the plot
MAX_POINTS = 240  # of the training curve
MAX_X_TICKS = 8
MAX_FINE_Y_TICKS = 9  # with more, only powers of ten are marked
LEAST_LOSS = 1e-5  # nats; the log rounds to this, and 0 has no place on a log scale
TRAINING_COLOUR, VALIDATION_COLOUR = "#3b76b0", "#d95f02"

TITLE = "损失曲线 · Loss curve"
X_LABEL = "更新次数 · updates"
Y_LABEL = "损失 · loss（nats / token，对数 log）"
TRAINING, VALIDATION = "训练损失 · training loss", "验证损失 · validation loss"

STYLE = (
    "text{font-family:sans-serif;font-size:13px;fill:#333}"
    ".title{font-size:16px;font-weight:bold}"
    ".grid{stroke:#e2e2e2;stroke-width:1}.axis{stroke:#333;stroke-width:1}"
    ".curve{fill:none;stroke-width:1.8;stroke-linejoin:round}"
)


class Point(NamedTuple):
    """A loss after an update. 曲线上的一点。"""

    step: float
    loss_nats: float


class Frame(NamedTuple):
    """The ranges shown, and where a point lies on the picture. 坐标系。"""

    last_step: float
    low: float  # nats, at the bottom
    high: float  # nats, at the top

    def x(self, step: float) -> float:
        """Return pixels from the left; linear. 横坐标。"""
        return LEFT + (WIDTH - LEFT - RIGHT) * step / self.last_step

    def y(self, loss: float) -> float:
        """Return pixels from the top; logarithmic. 纵坐标。"""
        share = math.log(loss / self.low) / math.log(self.high / self.low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def loss_curve_svg(log: TrainingLog) -> str:
    """Return training and validation loss against updates, as SVG text. 画损失曲线。

    The loss has a logarithmic scale. The training loss is thinned, not smoothed beyond that: at
    most MAX_POINTS points, each the mean of neighbouring logged updates; the first and the last
    logged update stand as they are. Each validation loss is a dot.
    """
    training = thinned(log.steps)
    validation = _points([(e.step, e.val_loss_nats) for e in log.evaluations])
    frame = _frame(training + validation)
    parts = [_axes(frame), _curve(frame, training, TRAINING_COLOUR)]
    parts += [_curve(frame, validation, VALIDATION_COLOUR)]
    parts += [
        f'<circle cx="{frame.x(p.step):.1f}" cy="{frame.y(p.loss_nats):.1f}" r="3" '
        f'fill="{VALIDATION_COLOUR}"/>'
        for p in validation
    ]
    legend = [(TRAINING, TRAINING_COLOUR, training), (VALIDATION, VALIDATION_COLOUR, validation)]
    parts.append(_legend([(name, colour) for name, colour, points in legend if points]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img">\n'
        f"<title>{escape(TITLE)}</title>\n<style>{STYLE}</style>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n'
        + "\n".join(part for part in parts if part)
        + "\n</svg>\n"
    )


def thinned(steps: list[Step]) -> list[Point]:
    """Return the first and the last update, and means of equal shares of the others. 抽稀。"""
    points = _points([(s.step, s.loss_nats) for s in steps])
    if len(points) <= MAX_POINTS:
        return points
    inner, n_means = points[1:-1], MAX_POINTS - 2
    bounds = [i * len(inner) // n_means for i in range(n_means + 1)]
    shares = [inner[bounds[i] : bounds[i + 1]] for i in range(n_means)]
    means = [
        Point(sum(p.step for p in share) / len(share), sum(p.loss_nats for p in share) / len(share))
        for share in shares
    ]
    return [points[0], *means, points[-1]]


def _points(pairs: list[tuple[int, float | None]]) -> list[Point]:
    """Keep what can be drawn on a log scale. 去掉画不出的点。"""
    return [
        Point(step, max(LEAST_LOSS, loss))
        for step, loss in pairs
        if loss is not None and math.isfinite(loss)
    ]


def _frame(points: list[Point]) -> Frame:
    """Choose ranges that hold all points, the loss between two marks of 1-2-5. 坐标范围。"""
    losses = [p.loss_nats for p in points] or [1.0]
    low = max(mark for mark in _marks(1, 2, 5) if mark <= min(losses))
    high = min((mark for mark in _marks(1, 2, 5) if mark > max(losses)), default=max(losses) * 2)
    return Frame(max([1.0, *(p.step for p in points)]), low, high)


def _marks(*digits: int) -> list[float]:
    """Return digits times powers of ten, from the least loss up. 刻度候选。"""
    return [float(f"{digit}e{power}") for power in range(-5, 6) for digit in digits]


def _y_ticks(frame: Frame) -> list[float]:
    fine = [mark for mark in _marks(1, 2, 5) if frame.low <= mark <= frame.high]
    if len(fine) <= MAX_FINE_Y_TICKS:
        return fine
    return [mark for mark in _marks(1) if frame.low <= mark <= frame.high]


def _x_ticks(last_step: float) -> list[int]:
    steps = [int(mark) for mark in _marks(1, 2, 5) if mark >= 1]
    every = next((step for step in steps if last_step / step <= MAX_X_TICKS), steps[-1])
    return list(range(0, int(last_step) + 1, every))


def _axes(frame: Frame) -> str:
    """Draw grid, ticks and names. 坐标轴。"""
    bottom, right, middle = HEIGHT - BOTTOM, WIDTH - RIGHT, (TOP + HEIGHT - BOTTOM) / 2
    lines = [_text(LEFT, 24, TITLE, "start", "title")]
    for loss in _y_ticks(frame):
        y = frame.y(loss)
        lines.append(_line("grid", LEFT, y, right, y))
        lines.append(_text(LEFT - 8, y + 4.5, f"{loss:g}", "end"))
    for step in _x_ticks(frame.last_step):
        x = frame.x(step)
        lines.append(_line("axis", x, bottom, x, bottom + 5))
        lines.append(_text(x, bottom + 20, f"{step:,}", "middle"))
    lines.append(_line("axis", LEFT, bottom, right, bottom))
    lines.append(_line("axis", LEFT, TOP, LEFT, bottom))
    lines.append(_text((LEFT + right) / 2, HEIGHT - 14, X_LABEL, "middle"))
    turned = _text(0, 0, Y_LABEL, "middle")
    lines.append(f'<g transform="translate(20 {middle:.1f}) rotate(-90)">{turned}</g>')
    return "\n".join(lines)


def _curve(frame: Frame, points: list[Point], colour: str) -> str:
    """Draw a line through the points. 折线。"""
    if not points:
        return ""
    places = " ".join(f"{frame.x(p.step):.1f},{frame.y(p.loss_nats):.1f}" for p in points)
    return f'<polyline class="curve" stroke="{colour}" points="{places}"/>'


def _legend(entries: list[tuple[str, str]]) -> str:
    """Name the curves above the plot. 图例。"""
    parts = []
    for number, (name, colour) in enumerate(entries):
        x = LEFT + 210 * number
        parts.append(
            f'<line x1="{x}" y1="46" x2="{x + 22}" y2="46" stroke="{colour}" stroke-width="3"/>'
        )
        parts.append(_text(x + 30, 50.5, name, "start"))
    return "\n".join(parts)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(text)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
