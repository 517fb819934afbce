"""The section of importance: how much of each objective every choice explains, and the mean of every option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nasengine.objectives import Objective
from nasengine.records import Trial
from nasengine.report.blocks import Block, Cell, Details, Figure, Table, Text, escaped
from nasengine.report.charts import DIRECTIONS, thinned
from nasengine.report.importance import FEWEST, MOST, Importance, importance
from nasengine.report.labels import option_text
from nasengine.report.records import Searched
from nasengine.space import SearchSpace
from nasengine.wording import plural

LEAST_PREDICTED = 0.05  # R² on architectures left out, below which importances would be stories about noise
MOST_BARS, MOST_OPTIONS = 25, 12
LEAD = (
    "How much of the objective's variance among the architectures tried each choice explains; lines are 95 % "
    "intervals. What choices explain only together is in no bar."
)
METHOD = (
    "The share is averaged over all orders in which choices can be considered (Shapley value, LMG: Lindeman, Merenda "
    "and Gold 1980; Grömping 2007), in a model that adds one effect for each option, and corrected for what chance "
    "explains (adjusted R²). Intervals are from a delete-d jackknife (Shao and Wu 1989). A search tries good "
    "architectures more often, so this is about those it tried, not about the whole space."
)


def importance_blocks(
    search: Searched, objectives: Sequence[Objective], space: SearchSpace, names: Mapping[str, str]
) -> list[Block]:
    """A figure for each objective, or the reason why there is none."""
    completed = [trial for trial in search.trials if trial.completed]
    completed = [completed[i] for i in thinned(len(completed), most=4 * MOST)]
    different = list({trial.architecture: trial for trial in completed}.values())
    if len(different) < FEWEST or len(space.decisions) < 2:
        have = (
            f"{plural(len(different), 'different architecture')} {'has' if len(different) == 1 else 'have'} completed"
        )
        what = f"{have}; importances need at least {FEWEST}."
        return [Text(what if len(space.decisions) > 1 else "The space has a single choice: see the trials themselves.")]
    chosen = [different[i] for i in np.linspace(0, len(different) - 1, min(len(different), MOST)).round().astype(int)]
    codes = space.encode_many(trial.architecture for trial in chosen)
    size = float(min(space.size(), 10**15))
    blocks: list[Block] = []
    for objective in objectives:
        values = np.array([trial.measurements[objective.name] for trial in chosen])
        found = importance(codes, values, population=size)
        blocks += _objective(found, objective, space, names)
        if found is not None and found.predicted >= LEAST_PREDICTED:
            blocks.append(_options(found, chosen, objective, space, names))
    if any(isinstance(block, Figure) for block in blocks):
        blocks = [Text(LEAD), *blocks, Details("How this was found", [Text(METHOD)])]
    return blocks


def _objective(
    found: Importance | None, objective: Objective, space: SearchSpace, names: Mapping[str, str]
) -> list[Block]:
    if found is None:
        return [Text(f"{objective.name} is the same in every trial: there is nothing to explain.")]
    if found.predicted < LEAST_PREDICTED:
        return [
            Text(
                f"Single choices explain nothing of {objective.name} that would hold for other architectures "
                f"(R² {_signed(found.predicted)} in ten-fold cross-validation over {found.architectures:,} "
                "architectures): too few trials, too much noise, or choices that act only together. "
                "No importances are shown."
            )
        ]
    order = np.argsort(-found.shares, kind="stable")[:MOST_BARS][::-1]
    labels = [escaped(names[space.decisions[i].path]) for i in order]
    shares = np.clip(found.shares[order], 0, None)
    sure = found.low[order] > 0
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": labels,
        "x": shares,
        "marker": {"color": ["@series-1" if is_sure else "@series-6/0.5" for is_sure in sure]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": np.maximum(found.high[order] - shares, 0),
            "arrayminus": np.maximum(shares - found.low[order], 0),
            "color": "@ink",
            "thickness": 1.2,
            "width": 3,
        },
        "text": [
            f"{label}: {share:.1%} of the variance, 95 % interval {low:.1%} to {high:.1%}"
            for label, share, low, high in zip(labels, shares, found.low[order], found.high[order], strict=True)
        ],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }
    explained = float(np.clip(found.shares.sum(), 0, 1))
    left_out = f" The {MOST_BARS} largest of {len(found.shares)} choices." if len(found.shares) > MOST_BARS else ""
    return [
        Figure(
            [bars],
            {
                "xaxis": {
                    "title": {"text": f"share of the variance of {escaped(objective.name)}"},
                    "tickformat": ".0%",
                },
                "yaxis": {"showgrid": False, "ticks": ""},
                "margin": {"t": 12},
                "bargap": 0.4,
            },
            f"Importance of the choices for {objective.name}: together they explain {explained:.0%} of its variance "
            f"over {found.architectures:,} architectures; R² on architectures left out {_signed(found.predicted)} "
            f"(ten-fold cross-validation). Grey: the interval holds zero.{left_out}",
            f"Bar chart of the importance of choices for {objective.name}: "
            + "; ".join(f"{labels[i]} {shares[i]:.0%}" for i in range(len(labels) - 1, max(len(labels) - 7, -1), -1)),
            max(180, 90 + 24 * len(labels)),
        )
    ]


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _options(
    found: Importance, trials: Sequence[Trial], objective: Objective, space: SearchSpace, names: Mapping[str, str]
) -> Details:
    """The mean of the objective over the trials that took each option, most important choices first."""
    rows: list[list[Cell]] = []
    for index in np.argsort(-found.shares, kind="stable")[:MOST_BARS]:
        path = space.decisions[index].path
        values: dict[str, list[float]] = {}
        for trial in trials:
            option = option_text(trial.architecture[path]) if path in trial.architecture else "not asked"
            values.setdefault(option, []).append(trial.measurements[objective.name])
        means = {option: float(np.mean(taken)) for option, taken in values.items()}
        better = sorted(
            means, key=lambda option: -means[option] if objective.direction == "maximize" else means[option]
        )
        rows += [
            [names[path] if option == better[0] else "", option, len(values[option]), means[option]]
            for option in better[:MOST_OPTIONS]
        ]
    table = Table(
        ["choice", "option", "architectures", f"mean {objective.name}"],
        rows,
        f"Mean {objective.name} ({DIRECTIONS[objective.direction]}) of the architectures that took each option; "
        "other choices are whatever the search took with it.",
    )
    return Details(f"Mean {objective.name} of every option", [table])
