"""A comparison of strategies as a page: who found what, how soon, and which differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasengine.report.blocks import Block, Cell, Figure, Table, Text, escaped
from nasengine.report.judging import Comparison, Curves, Pair, Reach
from nasengine.report.page import Page, Section
from nasengine.report.theme import SERIES
from nasengine.wording import number

DASHES = ("solid", "dash", "dot")  # a second and a third round through the colours


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
    "pairs: two strategies alike seldom come out below 0.05. `Better` is how often a search of the first beats one of "
    "the second, ties counted half."
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
    """Head and rows of the first table: each strategy with the mean of its last figures."""
    head = ["strategy", "searches", "trials", comparison.merit, "± sd", "95 % interval"]
    head += ["hypervolume", "95 % interval of it"] if comparison.reference else []
    rows: list[list[Cell]] = []
    for judged in comparison.strategies:
        row: list[Cell] = [judged.strategy, len(judged.seeds), judged.trials]
        row += [_last(judged.merit)[0], judged.merit.deviation, _interval(judged.merit)]
        if judged.volume is not None:
            row += [_last(judged.volume)[0], _interval(judged.volume)]
        rows.append(row)
    return head, rows


def reach_rows(comparison: Comparison) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows of the second table: how soon each strategy was how good; no rows where there are no targets."""
    targets = comparison.strategies[0].reach if comparison.strategies else ()
    head = ["strategy", *(_target(entry) for entry in targets)]
    rows: list[list[Cell]] = [
        [judged.strategy, *(_soon(entry, len(judged.seeds)) for entry in judged.reach)]
        for judged in comparison.strategies
    ]
    return head, rows if targets else []


def pair_rows(comparison: Comparison, pairs: Sequence[Pair]) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows of a table of tests."""
    head = ["first", "second", "difference", "better", "p", "p (Holm)"]
    rows: list[list[Cell]] = [
        [pair.first, pair.second, pair.difference, f"{100 * pair.better:.0f} %", _p(pair.p), _p(pair.p_holm)]
        for pair in pairs
    ]
    return head, rows


HOW_REACH_IS_READ = (
    "The median number of trials after which the incumbent was as good; where not every search came there, over those "
    "that did."
)


def _merit_blocks(comparison: Comparison) -> list[Block]:
    curves = {judged.strategy: judged.merit for judged in comparison.strategies}
    means = "Means over the searches, with their standard deviation and the 95 % bootstrap interval of the mean."
    blocks: list[Block] = [_figure(curves, comparison.merit, logarithmic=comparison.falling)]
    blocks.append(Table(*summary_rows(comparison), means))
    head, rows = reach_rows(comparison)
    return [*blocks, Table(head, rows, f"How soon: {HOW_REACH_IS_READ}")] if rows else blocks


def _volume_blocks(comparison: Comparison) -> list[Block]:
    curves = {judged.strategy: judged.volume for judged in comparison.strategies if judged.volume is not None}
    return [_figure(curves, "hypervolume", logarithmic=False)]


def _test_blocks(comparison: Comparison) -> list[Block]:
    blocks: list[Block] = []
    for pairs, what in ((comparison.pairs, comparison.merit), (comparison.volume_pairs, "hypervolume")):
        if pairs:
            head, rows = pair_rows(comparison, pairs)
            blocks.append(Table(head, rows, f"Of {what}."))
    few = min((len(judged.seeds) for judged in comparison.strategies), default=0)
    if blocks and few < 4:
        blocks.append(Text("With fewer than four searches of each no difference can come out below 0.05."))
    return blocks


def _figure(curves: Mapping[str, Curves], what: str, *, logarithmic: bool) -> Figure:
    """Mean curves with their bands; on a logarithmic axis where no mean is 0."""
    low = [value for curve in curves.values() for value in curve.mean if value is not None]
    logarithmic = logarithmic and bool(low) and min(low) > 0
    traces: list[dict[str, Any]] = []
    for place, (name, curve) in enumerate(curves.items()):
        colour = f"@{SERIES[place % len(SERIES)]}"
        dash = DASHES[place // len(SERIES) % len(DASHES)]
        trials = list(range(1, len(curve.mean) + 1))
        band = {"type": "scatter", "mode": "lines", "x": trials, "line": {"width": 0}, "hoverinfo": "skip"}
        shared = {"legendgroup": escaped(name), "name": escaped(name)}
        traces += [
            {**band, **shared, "y": _above(curve.low, logarithmic), "showlegend": False},
            {
                **band,
                **shared,
                "y": curve.high,
                "showlegend": False,
                "fill": "tonexty",
                "fillcolor": f"{colour}/0.18",
            },
            {
                **shared,
                "type": "scatter",
                "mode": "lines",
                "x": trials,
                "y": curve.mean,
                "line": {"color": colour, "dash": dash, "width": 2},
                "customdata": list(zip(curve.low, curve.high, strict=True)),
                "hovertemplate": "%{y:.4g} (%{customdata[0]:.4g} to %{customdata[1]:.4g})",
            },
        ]
    layout = {
        "xaxis": {"title": {"text": "trials"}},
        "yaxis": {"title": {"text": escaped(what)}, **({"type": "log", "dtick": "D2"} if logarithmic else {})},
        "hovermode": "x unified",
    }
    ends = "; ".join(
        f"{name} {number(curve.mean[-1])}"
        for name, curve in curves.items()
        if curve.mean and curve.mean[-1] is not None
    )
    caption = f"Mean {what} over the searches after each trial; bands are 95 % bootstrap intervals of the mean."
    return Figure(traces, layout, caption, f"{what} against trials; at the end: {ends}")


def _above(values: Sequence[float | None], logarithmic: bool) -> list[float | None]:
    """The lower edge of a band; 0 has no place on a logarithmic axis, so it ends at the smallest that has."""
    if not logarithmic:
        return list(values)
    least = min((value for value in values if value), default=None)
    return [least if value == 0 else value for value in values]


def _target(entry: Reach) -> str:
    if entry.share is None:
        return f"to {number(entry.target)}"
    share = f"{100 * entry.share:.2g} %"
    return f"to the very best ({share})" if entry.target == 0 else f"to the best {share} ({number(entry.target)})"


def _soon(entry: Reach, searches: int) -> str:
    if entry.trials is None:
        return "never"
    return f"{entry.trials:g}" if entry.seeds == searches else f"{entry.trials:g} ({entry.seeds} of {searches})"


def _last(curves: Curves) -> tuple[float | None, float | None, float | None]:
    if not curves.mean:
        return None, None, None
    return curves.mean[-1], curves.low[-1], curves.high[-1]


def _interval(curves: Curves) -> str | None:
    _, low, high = _last(curves)
    return None if low is None or high is None else f"{number(low)} to {number(high)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def _title(merit: str) -> str:
    return merit[:1].upper() + merit[1:]
