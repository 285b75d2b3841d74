"""The player of the replay: what runs in the browser, so that playing sends nothing. 播放器。

Each script gets the same inputs: step (the slider, which alone says where the film is), mine and
yours (two films of replay_data, the second perhaps null), run (0 or 1: whose answers are read),
overlay (whether the other run's curves are drawn, too), question (its text) and speed.
"""

from __future__ import annotations

TICK_SECONDS = 0.2
FILM_SECONDS = 20.0  # from the first step to the last, at normal speed

_BEGIN = """(step, mine, yours, run, overlay, question, speed) => {
    const film = (run === 1 ? yours : mine) ?? mine ?? yours;
    if (!film) return;
    const other = overlay ? (film === mine ? yours : mine) : null;
    const drawn = other ? [mine, yours] : [film];
    const max = Math.max(...drawn.map((f) => f.max)), top = Math.max(...drawn.map((f) => f.top));
    step = Number(step);
    const chosen = film.questions.indexOf(question);
    const last = (rows) => rows.filter((row) => (row.step ?? row[0]) <= step).at(-1);
    const chart = (until) => ({
        columns: ['step', 'loss', 'series'], mark: 'line',
        datatypes: {step: 'quantitative', loss: 'quantitative', series: 'nominal'},
        data: drawn.flatMap((f) => [f.train, f.val].flatMap((curve, i) => curve
            .filter(([s], n) => s <= until || n === 0).map(([s, loss]) => [s, loss, f.names[i]]))),
    });
    const update = (change) => ({__type__: 'update', ...change});
"""

# -> chart, training loss, validation loss, learning rate, tokens/s, seconds, caption, answers,
#    first tokens, story
SHOW = (
    _BEGIN
    + """
    const at = last(film.frames) ?? film.frames[0];
    const [, loss, rate, tokens, seconds] = last(film.steps) ?? [];
    const number = (value, digits) => value === undefined ? '–' : value.toFixed(digits);
    const guesses = at?.tokens[chosen] ?? [];
    return [
        chart(step), number(loss, 3), number(last(film.val)?.[1], 3),
        rate === undefined ? '–' : rate.toExponential(1),
        tokens === undefined ? '–' : tokens.toLocaleString('en'), number(seconds, 1),
        at?.caption ?? '', at?.answers ?? '',
        {label: guesses[0]?.[0] ?? '',
         confidences: guesses.map(([label, confidence]) => ({label, confidence}))},
        film.stories[chosen] ?? '',
    ];
}"""
)

# Another run, or one more: the slider's end, the questions to choose from (the chosen one stays, if
# it is among them), the chart's frame. A chart draws no curve that it did not have when it was
# made; other colours make it anew.
ARRANGE = (
    _BEGIN
    + """
    return [
        update({maximum: max, value: Math.min(step, max)}),
        update({choices: film.questions.map((q) => [q, q]),
            value: film.questions[chosen < 0 ? film.favourite : chosen] ?? null}),
        update({value: chart(max), x_lim: [0, max], y_lim: [0, top], color_map: Object.fromEntries(
            drawn.flatMap((f) => f.names.map((name, i) => [name, f.colours[i]])))}),
    ];
}"""
)

TICK = (
    _BEGIN
    + f"""
    const next = Math.min(max, step + Math.max(1, max * speed * {TICK_SECONDS / FILM_SECONDS}));
    return [Math.round(next), update(next >= max ? {{active: false}} : {{}})];
}}"""
)

PLAY = _BEGIN + "    return [step >= max ? 0 : step, update({active: true})];\n}"
PAUSE = "() => ({__type__: 'update', active: false})"
JUMP = _BEGIN + "    return [film.first_right[chosen] ?? step, update({active: false})];\n}"
