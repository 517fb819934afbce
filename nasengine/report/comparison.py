"""A comparison of strategies as a page: who found what, how soon, and which differences are more than chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nasengine.report.blocks import Block, Cell, Details, Figure, Mark, Table, Text, escaped
from nasengine.report.judging import Comparison, Curves, Pair, Reach
from nasengine.report.page import Page, Section
from nasengine.report.theme import SERIES
from nasengine.wording import number

DASHES = ("solid", "dash", "dot")  # a second and a third round through the colours
FEW_PAIRS = 3  # more of them are shown as a matrix, their list folded
CHANCE = 0.05
FAR = 5.0  # an interval that reaches so many times lower than all means is cut off


def comparison_page(comparison: Comparison) -> Page:
    """The page, one section for each figure of merit and one for the tests."""
    searches = sum(len(judged.seeds) for judged in comparison.strategies)
    where = comparison.space if comparison.table is None else f"{comparison.space}, table {comparison.table}"
    lead = f"{where}: {len(comparison.strategies)} strategies, {searches} searches."
    sections = [Section(_title(comparison.merit), _merit_blocks(comparison), how_merit_is_read(comparison))]
    if comparison.reference:
        sections.append(Section("Hypervolume", _volume_blocks(comparison), how_volume_is_read(comparison)))
    tests = _test_blocks(comparison)
    if tests:
        sections.append(Section("Which differences are more than chance", tests, HOW_TESTS_ARE_READ))
    return Page("Comparison of strategies", sections, lead)


HOW_TESTS_ARE_READ = (
    "Two-sided Mann-Whitney tests on the last figure of each search, corrected by Holm's method for the number of "
    "pairs: two strategies alike seldom come out below 0.05."
)


def how_merit_is_read(comparison: Comparison) -> str:
    """What the first figure of merit means, in words."""
    first = next(iter(comparison.objectives))
    if comparison.optimum is None:
        return f"The best {first} measured so far."
    return (
        f"By how much the best architecture of the table ({number(comparison.optimum)}) is truly better than the one "
        f"with the best {first} so far. Lower is better; 0 is the best there is."
    )


def how_volume_is_read(comparison: Comparison) -> str:
    """What the second figure of merit means, in words."""
    corner = ", ".join(f"{name} {number(value)}" for name, value in comparison.reference.items())
    whole = "of the table" if comparison.table is not None else "of all runs"
    return (
        f"The share of the box between the worst and the best values {whole} that the measured trials dominate; "
        f"measured from the worst corner ({corner}). Higher is better."
    )


def summary_rows(comparison: Comparison) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows of the first table: each strategy with the mean of its last figures, the most telling first."""
    head = ["strategy", _short(comparison), "± sd", "95 % interval", "searches", "trials"]
    rows: list[list[Cell]] = [
        [*_standing(judged.strategy, judged.merit), len(judged.seeds), judged.trials]
        for judged in comparison.strategies
    ]
    return head, rows


def volume_rows(comparison: Comparison) -> tuple[list[str], list[list[Cell]]]:
    """The same of the hypervolume, the largest first; no rows with one objective."""
    volumes = [(judged.strategy, judged.volume) for judged in comparison.strategies if judged.volume is not None]
    ordered = sorted(volumes, key=lambda entry: -(_last(entry[1])[0] or 0.0))
    return ["strategy", "hypervolume", "± sd", "95 % interval"], [_standing(name, curves) for name, curves in ordered]


def reach_rows(comparison: Comparison) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows of the table of how soon each strategy was how good; no rows where there are no targets."""
    targets = comparison.strategies[0].reach if comparison.strategies else ()
    head = ["strategy", *(_target(entry) for entry in targets)]
    rows: list[list[Cell]] = [
        [judged.strategy, *(_soon(entry, len(judged.seeds)) for entry in judged.reach)]
        for judged in comparison.strategies
    ]
    return head, rows if targets else []


def how_reach_is_read(comparison: Comparison) -> str:
    """What the columns of that table mean, in words."""
    targets = comparison.strategies[0].reach if comparison.strategies else ()
    shares = ", ".join(
        f"{_target(entry)}: {_short(comparison)} {'' if entry.target == 0 else 'at most '}{number(entry.target)}"
        for entry in targets
        if entry.share is not None
    )
    units = "whole evaluations" if in_parts(comparison) else "trials"
    said = f"The median number of {units} until the incumbent was as good; a search that never was counts as the last"
    return f"{said}{f' ({shares})' if shares else ''}."


def pair_rows(comparison: Comparison, pairs: Sequence[Pair]) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows of a table of tests."""
    head = ["first", "second", "difference", "better", "p", "p (Holm)"]
    rows: list[list[Cell]] = [
        [pair.first, pair.second, pair.difference, f"{100 * pair.better:.0f} %", _p(pair.p), _p(pair.p_holm)]
        for pair in pairs
    ]
    return head, rows


def in_parts(comparison: Comparison) -> bool:
    """Whether some trials were measured under parts of the budget, so that curves count whole evaluations."""
    return any(len(judged.merit.mean) < judged.trials for judged in comparison.strategies)


def _merit_blocks(comparison: Comparison) -> list[Block]:
    curves = {judged.strategy: judged.merit for judged in comparison.strategies}
    parts = in_parts(comparison)
    blocks: list[Block] = [_figure(curves, comparison.merit, logarithmic=comparison.falling, parts=parts)]
    blocks.append(Table(*summary_rows(comparison), HOW_MEANS_ARE_READ))
    head, rows = reach_rows(comparison)
    return [*blocks, Table(head, rows, f"How soon. {how_reach_is_read(comparison)}")] if rows else blocks


def _volume_blocks(comparison: Comparison) -> list[Block]:
    curves = {judged.strategy: judged.volume for judged in comparison.strategies if judged.volume is not None}
    return [
        _figure(curves, "hypervolume", logarithmic=False, parts=in_parts(comparison)),
        Table(*volume_rows(comparison), HOW_MEANS_ARE_READ),
    ]


HOW_MEANS_ARE_READ = (
    "At the end: the mean over the searches, their standard deviation, and the 95 % bootstrap interval of the mean."
)


def _test_blocks(comparison: Comparison) -> list[Block]:
    blocks: list[Block] = []
    for pairs, what in ((comparison.pairs, comparison.merit), (comparison.volume_pairs, "hypervolume")):
        if pairs:
            listed = Table(*pair_rows(comparison, pairs), f"Of {what}; “better”: {HOW_BETTER_IS_READ}.")
            if len(pairs) <= FEW_PAIRS:
                blocks.append(listed)
            else:
                blocks += [_matrix(pairs, what), Details(f"All {len(pairs)} pairs with their p-values", [listed])]
    few = min((len(judged.seeds) for judged in comparison.strategies), default=0)
    ends = {len(judged.merit.mean) for judged in comparison.strategies}
    if blocks and in_parts(comparison) and len(ends) > 1:
        blocks.append(Text("The strategies did not spend the same: each is judged by what it had at its own end."))
    if blocks and few < 4:
        blocks.append(Text("With fewer than four searches of each no difference can come out below 0.05."))
    return blocks


HOW_BETTER_IS_READ = "how often a search of the first beats one of the second, ties counted half"


def _matrix(pairs: Sequence[Pair], what: str) -> Table:
    """Every strategy against every other, the columns called by the number of their row."""
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    cells: dict[tuple[str, str], Cell] = {}
    for pair in pairs:
        for ends, share in (((pair.first, pair.second), pair.better), ((pair.second, pair.first), 1 - pair.better)):
            text = f"{100 * share:.0f} %"
            cells[ends] = Mark(text, "strong") if pair.p_holm < CHANCE else Mark(text, "quiet")
    rows: list[list[Cell]] = [
        [f"{place} {row}", *(None if row == column else cells[row, column] for column in names)]
        for place, row in enumerate(names, start=1)
    ]
    caption = (
        f"Of {what}: how often a search of the row beats one of the column, ties counted half. In strong letters where "
        f"the corrected p is below {CHANCE}; the others are not told apart."
    )
    return Table(["", *(str(place) for place in range(1, len(names) + 1))], rows, caption)


def _figure(curves: Mapping[str, Curves], what: str, *, logarithmic: bool, parts: bool) -> Figure:
    """Mean curves with their bands; on a logarithmic axis (with a line for 0) where nothing is below 0."""
    drawn = [value for curve in curves.values() for value in (*curve.mean, *curve.low) if value is not None]
    floor = _floor(curves) if logarithmic and min(drawn, default=-1) >= 0 else None

    def placed(values: Sequence[float | None]) -> list[float | None]:
        return [floor if floor is not None and value is not None and value < floor else value for value in values]

    unit = "whole evaluation" if parts else "trial"
    traces: list[dict[str, Any]] = []
    for place, (name, curve) in enumerate(curves.items()):
        colour = f"@{SERIES[place % len(SERIES)]}"
        dash = DASHES[place // len(SERIES) % len(DASHES)]
        trials = list(range(1, len(curve.mean) + 1))
        band = {"type": "scatter", "mode": "lines", "x": trials, "line": {"width": 0}, "hoverinfo": "skip"}
        shared = {"legendgroup": escaped(name), "name": escaped(name)}
        traces += [
            {**band, **shared, "y": placed(curve.low), "showlegend": False},
            {
                **band,
                **shared,
                "y": placed(curve.high),
                "showlegend": False,
                "fill": "tonexty",
                "fillcolor": f"{colour}/0.18",
            },
            {
                **shared,
                "type": "scatter",
                "mode": "lines",
                "x": trials,
                "y": placed(curve.mean),
                "line": {"color": colour, "dash": dash, "width": 2},
                "customdata": list(zip(curve.mean, curve.low, curve.high, strict=True)),
                "hovertemplate": "%{customdata[0]:.4g} (%{customdata[1]:.4g} to %{customdata[2]:.4g})",
            },
        ]
    layout = {
        "xaxis": {"title": {"text": f"{unit}s"}},
        "yaxis": {"title": {"text": escaped(what)}, **({} if floor is None else _axis_from(floor, curves))},
        "hovermode": "x unified",
    }
    ends = "; ".join(
        f"{name} {number(curve.mean[-1])}"
        for name, curve in curves.items()
        if curve.mean and curve.mean[-1] is not None
    )
    caption = f"Mean {what} over the searches after each {unit}; bands are 95 % bootstrap intervals of the mean."
    if parts:
        caption += " Trials under a part of the budget count as that part of an evaluation."
    if floor is not None and floor > min(drawn):
        caption += (
            f" The axis is logarithmic down to {number(floor)}; smaller values, 0 included, lie on its lowest line."
        )
    return Figure(traces, layout, caption, f"{what} against trials; at the end: {ends}")


def _floor(curves: Mapping[str, Curves]) -> float | None:
    """Where a logarithmic axis begins: at the next 1, 2 or 5 of a power of ten below what is smallest above 0.

    None where no mean is above 0. The end of an interval far below all means does not count: it would press the means
    together.
    """
    smallest = min((value for curve in curves.values() for value in curve.mean if value), default=None)
    if smallest is None:
        return None
    ends = [value for curve in curves.values() for value in curve.low if value and value >= smallest / FAR]
    least = min([smallest, *ends])
    power = 10.0 ** math.floor(math.log10(0.999 * least))
    return power * next(step for step in (5, 2, 1) if 0.999 * least >= step * power)


def _axis_from(floor: float, curves: Mapping[str, Curves]) -> dict[str, Any]:
    """A logarithmic axis whose lowest line is `floor`, called 0 as that is what may lie there."""
    zero = any(value == 0 for curve in curves.values() for value in (*curve.mean, *curve.low))
    highest = max(value for curve in curves.values() for value in curve.high if value is not None)
    powers = range(math.floor(math.log10(floor)), math.ceil(math.log10(highest)) + 1)
    steps = (1, 2, 5) if len(powers) < 5 else (1,)
    ticks = [step * 10.0**power for power in powers for step in steps if floor < step * 10.0**power <= 1.2 * highest]
    return {
        "type": "log",
        "range": [math.log10(floor), math.log10(1.2 * highest)],
        "tickvals": [floor, *ticks],
        "ticktext": ["0" if zero else number(floor), *map(number, ticks)],
    }


def _short(comparison: Comparison) -> str:
    """The figure of merit where the words around say of what."""
    return comparison.merit.split(" of ", 1)[0]


def _standing(name: str, curves: Curves) -> list[Cell]:
    return [name, _last(curves)[0], curves.deviation, _interval(curves)]


def _target(entry: Reach) -> str:
    if entry.share is None:
        return f"to {number(entry.target)}"
    share = f"{float(f'{100 * entry.share:.2g}'):g} %"  # 100 %, not 1e+02 %
    return f"very best ({share})" if entry.target == 0 else f"best {share}"


def _soon(entry: Reach, searches: int) -> str:
    if entry.seeds == 0:
        return "never"
    some = f"{entry.seeds} of {searches}"
    if entry.trials is None:
        return some
    return f"{entry.trials:g}" if entry.seeds == searches else f"{entry.trials:g} ({some})"


def _last(curves: Curves) -> tuple[float | None, float | None, float | None]:
    if not curves.mean:
        return None, None, None
    return curves.mean[-1], curves.low[-1], curves.high[-1]


def _interval(curves: Curves) -> str | None:
    _, low, high = _last(curves)
    return None if low is None or high is None or len(curves.final) < 2 else f"{number(low)} to {number(high)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def _title(merit: str) -> str:
    return merit[:1].upper() + merit[1:]
