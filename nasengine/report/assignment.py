"""The section of a prepare phase: its loss and, of a mixture of supernets, which model took which configurations.

Shapes:  C configurations   M models   E epochs that are drawn
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasengine.agreement import kendall
from nasengine.records import Architecture
from nasengine.report.blocks import Block, Cell, Facts, Figure, Heading, Table, escaped
from nasengine.report.charts import axis, thinned
from nasengine.report.labels import in_lines, in_words, option_text
from nasengine.report.progress import loss_blocks
from nasengine.report.records import Prepared
from nasengine.report.theme import SERIES
from nasengine.wording import number, plural

MOST_EPOCHS, MOST_ROWS = 120, 600
PER_ROW = 3  # pixels of an epoch


def prepared_blocks(prepared: Prepared, names: Mapping[str, str]) -> list[Block]:
    """Facts and the loss; then what a mixture assigned to its models, if it is one."""
    blocks: list[Block] = [Facts([*prepared.about])] if prepared.about else []
    blocks += loss_blocks([(prepared.name, prepared.epochs)], f"the phase {prepared.name}")
    assigned = [epoch for epoch in prepared.epochs if len(epoch.get("owners", ())) == len(prepared.configurations)]
    if not prepared.configurations or not (assigned or prepared.probabilities):
        return blocks
    blocks.append(Heading("Which model trains which architecture"))
    if prepared.probabilities:
        blocks += [_final(prepared, names), _families(prepared, names)]
    if len(assigned) > 1:
        blocks += [_by_epoch(prepared, assigned), *_agreement(prepared, assigned)]
    return blocks


def _labels(configurations: Sequence[Architecture]) -> list[str]:
    """One that is a single choice is called by its option, any other by its number."""
    if all(len(one) == 1 for one in configurations):
        texts = [option_text(option) for one in configurations for option in one.values()]
        if len(set(texts)) == len(texts):
            return [escaped(text) for text in texts]
    return [f"no. {place}" for place in range(1, len(configurations) + 1)]


def _final(prepared: Prepared, names: Mapping[str, str]) -> Figure:
    """Configurations × models: the probabilities in the end."""
    shown = thinned(len(prepared.configurations), most=MOST_ROWS)
    probabilities = np.array(prepared.probabilities, dtype=float)  # (C, M)
    owners = probabilities.argmax(axis=1)
    models = probabilities.shape[1]
    counts = np.bincount(owners, minlength=models).tolist()
    visits = np.array(prepared.visits, dtype=float) if prepared.visits else np.zeros_like(probabilities)
    lines = [in_lines(prepared.configurations[i], names) for i in shown]
    words = [
        [f"{line}<br>{visits[i, model]:,.0f} steps" for i, line in zip(shown, lines, strict=True)]
        for model in range(models)
    ]
    heat = {
        "type": "heatmap",
        "z": probabilities[shown].T,
        "x": _categories(prepared, shown),
        "y": [f"model {model}" for model in range(models)],
        "text": words,
        "hovertemplate": "%{y}: %{z:.3f}<br>%{text}<extra></extra>",
        "colorscale": [[0, "@panel"], [1, "@series-1"]],
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"title": {"text": "probability"}, "thickness": 12},
    }
    return Figure(
        [heat],
        {"xaxis": _category_axis(shown), "yaxis": {"autorange": "reversed", "type": "category"}},
        "The probability of each model to train an architecture, in the end, architectures in the order of the space. "
        "In a search an architecture is measured on its likeliest model.",
        f"{plural(models, 'model')} own {', '.join(map(str, counts))} of {len(owners):,} architectures; the likeliest "
        f"model of an architecture has on average the probability {number(float(probabilities.max(axis=1).mean()))}.",
        160 + 26 * models,
    )


def _categories(prepared: Prepared, shown: NDArray[np.intp]) -> list[str]:
    labels = _labels(prepared.configurations)
    return [labels[i] for i in shown]


def _category_axis(shown: NDArray[np.intp]) -> dict[str, Any]:
    few = {"dtick": 1, "tickangle": -90} if len(shown) <= 64 else {}
    return {**axis("architecture"), "type": "category", "showgrid": False, **few}


def _families(prepared: Prepared, names: Mapping[str, str]) -> Table:
    """A row a model: how many are its own, its share of the steps, the best of its own."""
    probabilities = np.array(prepared.probabilities, dtype=float)
    owners = probabilities.argmax(axis=1)
    visits = np.array(prepared.visits, dtype=float) if prepared.visits else np.zeros_like(probabilities)
    last = next((epoch["scores"] for epoch in reversed(prepared.epochs) if "scores" in epoch), None)
    labels = _labels(prepared.configurations)
    single = all(len(one) == 1 for one in prepared.configurations)
    rows: list[list[Cell]] = []
    for model in range(probabilities.shape[1]):
        own = np.flatnonzero(owners == model)
        share = float(visits[:, model].sum() / max(visits.sum(), 1))
        row: list[Cell] = [f"model {model}", len(own), f"{100 * share:.1f} %", _runs(own, labels) or None]
        if last is not None:
            best = own[np.argmax(np.array(last)[own])] if len(own) else None
            words = None if best is None else labels[best] if single else in_words(prepared.configurations[best], names)
            row += [None if best is None else float(last[best]), words]
        rows.append(row)
    head = ["model", "own", "share of steps", "which"]
    head += ["best score", "of"] if last is not None else []
    return Table(head, rows, "The models; an architecture is its likeliest model's own.")


def _runs(own: NDArray[np.intp], labels: Sequence[str], most: int = 6) -> str:
    """Runs of neighbours: "[1, 2] … [1, 9], [3, 4]"."""
    breaks = np.flatnonzero(np.diff(own) != 1) + 1
    runs = [run for run in np.split(own, breaks) if len(run)]
    words = [labels[run[0]] if len(run) == 1 else f"{labels[run[0]]} … {labels[run[-1]]}" for run in runs[:most]]
    more = [f"and {len(runs) - most} more"] if len(runs) > most else []
    return ", ".join([*words, *more])


def _by_epoch(prepared: Prepared, assigned: Sequence[Mapping[str, Any]]) -> Figure:
    """Configurations × epochs: the likeliest model of each."""
    shown = thinned(len(prepared.configurations), most=MOST_ROWS)
    rows = [assigned[i] for i in thinned(len(assigned), most=MOST_EPOCHS)]
    owners = np.array([epoch["owners"] for epoch in rows])  # (E, C)
    models = int(max(owners.max() + 1, len(prepared.probabilities[0]) if prepared.probabilities else 1))
    colours = [f"@{SERIES[m % len(SERIES)]}" + ("" if m < len(SERIES) else "/0.45") for m in range(models)]
    scale = [[edge / models, colour] for m, colour in enumerate(colours) for edge in (m, m + 1)]
    changes = np.count_nonzero(np.diff(owners, axis=0), axis=1)
    settled = int(np.flatnonzero(changes)[-1]) + 1 if changes.any() else 0
    heat = {
        "type": "heatmap",
        "z": owners[:, shown],
        "x": _categories(prepared, shown),
        "y": [epoch["epoch"] for epoch in rows],
        "hovertemplate": "model %{z} after epoch %{y}<br>%{x}<extra></extra>",
        "colorscale": scale,
        "zmin": -0.5,
        "zmax": models - 0.5,
        "colorbar": {
            "title": {"text": "model"},
            "thickness": 12,
            "tickvals": list(range(models)),
            "ticktext": [str(m) for m in range(models)],
        },
    }
    return Figure(
        [heat],
        {"xaxis": _category_axis(shown), "yaxis": {**axis("epoch"), "autorange": "reversed", "showgrid": False}},
        "The likeliest model of each architecture, epoch by epoch from above.",
        f"The last change of an architecture from one model to another is seen at epoch {rows[settled]['epoch']} of "
        f"{assigned[-1]['epoch']}.",
        180 + max(120, PER_ROW * len(rows)),
    )


def _agreement(prepared: Prepared, assigned: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Over epochs: how far the scores agree with what is true, and how certain the assignment is."""
    data: list[dict[str, Any]] = []
    said = []
    known = [i for i, one in enumerate(prepared.configurations) if one in prepared.truth]
    scored = [epoch for epoch in assigned if "scores" in epoch]
    if len(known) > 1 and len(scored) > 1:
        true = np.array([prepared.truth[prepared.configurations[i]] for i in known])
        taus = [kendall(np.array(epoch["scores"], dtype=float)[known], true) for epoch in scored]
        defined = [(epoch["epoch"], tau) for epoch, tau in zip(scored, taus, strict=True) if math.isfinite(tau)]
        if defined:  # not while all scores are equal, as in the beginning
            at, taus = [epoch for epoch, _ in defined], [tau for _, tau in defined]
            data.append(_line(at, taus, "rank agreement (Kendall τ)", "series-2"))
            said.append(f"The rank agreement is {number(taus[-1])} in the end, at best {number(max(taus))}.")
    certain = [epoch for epoch in assigned if "certainty" in epoch]
    if len(certain) > 1:
        values = [float(epoch["certainty"]) for epoch in certain]
        name = "mean probability of the likeliest model"
        data.append(_line([epoch["epoch"] for epoch in certain], values, name, "series-1"))
        said.append(f"The likeliest model of an architecture has {number(values[-1])} on average in the end.")
    if not data:
        return []
    against = ""
    if len(data) > 1 and prepared.truth_is:
        against = f" The ranking is by the score of each on its likeliest model, held against {prepared.truth_is}."
    return [
        Figure(
            data,
            {"xaxis": axis("epoch"), "yaxis": axis("agreement, probability")},
            f"How the assignment and the ranking grow sharper.{against}",
            " ".join(said),
            320,
        )
    ]


def _line(x: Sequence[Any], y: Sequence[float], name: str, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "name": name,
        "line": {"color": f"@{colour}", "width": 2},
        "hovertemplate": "%{y:.3f} after epoch %{x}<extra>" + name + "</extra>",
    }
