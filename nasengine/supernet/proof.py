"""Proves, in double precision, that masks are views: the same outputs, the same gradients, nothing outside.

Some architectures that between them take many options run together through the masked network of their plan, one by
one as views, and the first of them as stand-alone copies. Outputs and the gradient of every shared tensor must agree,
and the gradient must be zero where no architecture reaches. Equal zeros would prove nothing: every tensor that is in
use must have a gradient somewhere, or architectures and images are drawn until it has one. Only tensors from which no
way leads to the output of any network (edges of a cell that end nowhere) are let off, by name. Where masks turn out
not to be views, single choices are tried; those that make the difference are structural from then on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from nasengine.build.module_call import one_line
from nasengine.errors import InputError
from nasengine.supernet.comparison import TOLERANCE, Finding, check_alone, compare, describe, first, images_for, larger
from nasengine.supernet.lookup import Row
from nasengine.supernet.masking import MaskError
from nasengine.supernet.masks import MaskedPasses, SharedWeights
from nasengine.supernet.no_chance import NoChance
from nasengine.supernet.plans import Key

AT_ONCE = 4  # architectures of one comparison; the first is always the largest
MOST = 16  # architectures of a proof, as far as
SECONDS = 8.0  # allow; the first comparison is always made
CANDIDATES = 256  # among which they are looked for
# What a network may raise that was not written for an input like that.
BREAKS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, InputError)
ROUNDS = 4  # of other architectures and images for tensors that have had no gradient
HOLDERS = 32  # architectures among which those are looked for that have such tensors
ALONE = 2  # architectures of a proof that are also compared with stand-alone copies


@dataclass
class Gradients:
    """What several comparisons have shown of the gradients of shared tensors.

    Args:
        used, live, connected: see `Finding`.
    """

    used: set[str] = field(default_factory=set)
    live: set[str] = field(default_factory=set)
    connected: set[str] = field(default_factory=set)

    def note(self, finding: Finding) -> None:
        """Take in one more."""
        self.used |= finding.used
        self.live |= finding.live
        self.connected |= finding.connected

    @property
    def silent(self) -> set[str]:
        """Tensors that are in use and have had no gradient, so that nothing is known of them yet."""
        return self.used - self.live


def prove(weights: SharedWeights, passes: MaskedPasses, key: Key) -> bool:
    """Prove the masks of a plan and note the outcome in `passes`; True where the structural choices have changed.

    Args:
        weights: a supernet in double precision, whose weights may be written to.
        passes: of that supernet.
    """
    before = passes.structure.columns
    passes.structure.read()
    if passes.structure.columns != before:
        passes.separate(passes.structure.columns)
        return True
    gradients = Gradients()
    try:
        with NoChance():
            why = _compare_some(weights, passes, key, gradients)
    except torch.OutOfMemoryError:
        raise  # says nothing about masks
    except BREAKS as error:
        why = f"masks fail: {one_line(error)}"
    except MaskError as error:
        why = str(error)
        if error.layer and (columns := _columns_of(passes, error.layer)):
            passes.separate(columns)
            return True
    if why:
        with NoChance():
            blamed = _blame(weights, passes, key)
        if blamed:
            passes.separate(blamed)
            return True
    else:
        unproved = gradients.silent & gradients.connected
        if unproved:
            why = f"{min(unproved)} never gets a gradient, so that nothing is proved of it ({len(unproved)} in all)"
    passes.note(key, why, sorted(gradients.silent - gradients.connected))
    return False


def _compare_some(weights: SharedWeights, passes: MaskedPasses, key: Key, gradients: Gradients) -> str:
    """Why masks are not views for some architectures of a plan; empty if they are for all that time allows.

    Args:
        gradients: takes in which tensors had some.
    """
    rows = covering(weights, passes, key, MOST)
    for architecture in weights.space.decode_many(rows[:ALONE]):
        check_alone(weights, architecture)
    began = time.monotonic()
    for start in range(1, len(rows), AT_ONCE - 1):
        if start > 1 and time.monotonic() - began > SECONDS:
            break
        finding = compare(weights, passes, key, np.concatenate([rows[:1], rows[start : start + AT_ONCE - 1]]))
        if not finding.equal:
            return describe(finding)
        gradients.note(finding)
    for number in range(1, ROUNDS + 1):
        others = holders(weights, passes, key, gradients.silent, number) if gradients.silent else rows[:0]
        if len(others):
            finding = compare(weights, passes, key, others, seed=number)
            if not finding.equal:
                return describe(finding)
            gradients.note(finding)
    return ""


def holders(weights: SharedWeights, passes: MaskedPasses, key: Key, wanted: set[str], seed: int) -> NDArray[np.int16]:
    """(K, D) rows of a plan that between them have many of the tensors that are wanted; none if no row has any."""
    rows = candidates(weights, passes, key, seed)[:HOLDERS]
    have = [
        wanted & {held.key for held, _ in weights.private(architecture)[1]}
        for architecture in weights.space.decode_many(rows)
    ]
    missing: set[str] = set()
    chosen: list[int] = []
    while len(chosen) < min(AT_ONCE, len(rows)):
        missing = missing or set(wanted)  # when each has been had once, again from the first
        left = [place for place in range(len(rows)) if place not in chosen and have[place]]
        if not left:
            break
        chosen.append(max(left, key=lambda place: len(have[place] & missing)))
        missing -= have[chosen[-1]]
    return rows[chosen]


def _columns_of(passes: MaskedPasses, layer: str) -> list[int]:
    """The choices that are free in the plans and decide about a layer: whether it is there, or its kernel."""
    columns = passes.lookup.columns
    found = {c for what in ("there", "kernel") for c in columns.get((what, layer), ())}
    return sorted(found - set(passes.structure.columns))


def candidates(weights: SharedWeights, passes: MaskedPasses, key: Key, seed: int = 0) -> NDArray[np.int16]:
    """(N, D) rows of a plan at random."""
    space = weights.space
    rows = space.sample_encoded(np.random.default_rng(seed), CANDIDATES)
    for column, option in zip(passes.structure.columns, key, strict=True):
        rows[:, column] = option
    rows = np.array([passes.lookup.row(row) for row in rows.tolist()], dtype=np.int16)
    found: NDArray[np.int16] = rows[
        space.satisfies_encoded(rows) & (rows[:, list(passes.structure.columns)] == list(key)).all(1)
    ]
    return found


def covering(weights: SharedWeights, passes: MaskedPasses, key: Key, count: int) -> NDArray[np.int16]:
    """(K, D) rows of a plan that between them take as many options as K can; the largest architecture first."""
    rows = candidates(weights, passes, key)
    chosen = [np.array(passes.structure.base(key), dtype=np.int16)]
    while len(chosen) < count and len(rows):
        taken = np.array(chosen)
        new = np.array([(~(row == taken).any(0)).sum() for row in rows])
        chosen.append(rows[int(new.argmax())])
        rows = rows[(rows != chosen[-1]).any(1)]
    return np.array(chosen if len(chosen) > 1 else chosen * 2, dtype=np.int16)


def _blame(weights: SharedWeights, passes: MaskedPasses, key: Key) -> list[int]:
    """Free choices that, changed alone from the largest architecture, make masks differ from views.

    Empty if it is most of them: then it is no choice that is to blame.
    """
    base = passes.structure.base(key)
    free = [c for c in range(len(base)) if c not in passes.structure.columns and base[c] >= 0]
    outgrown = [c for c in free if not _fits(passes, key, _changed(weights, passes, base, c))]
    if outgrown:
        return outgrown
    found = []
    for column in free:
        try:
            rows = _changed(weights, passes, base, column)[:3]
            if not _difference(weights, passes, key, rows) <= TOLERANCE:
                found.append(column)
        except torch.OutOfMemoryError:
            raise
        except (MaskError, *BREAKS):
            found.append(column)
    return found if len(found) <= len(free) / 2 else []


def _changed(weights: SharedWeights, passes: MaskedPasses, base: Row, column: int) -> NDArray[np.int16]:
    """The rows of an architecture and of those that take another option of one choice."""
    others = [option for option in range(len(weights.space.decisions[column].options)) if option != base[column]]
    rows = [passes.lookup.row([*base[:column], option, *base[column + 1 :]]) for option in others]
    return np.array([base, *rows], dtype=np.int16)


def _fits(passes: MaskedPasses, key: Key, rows: NDArray[np.int16]) -> bool:
    """Whether the network of a plan is large enough for architectures."""
    try:
        passes.network(key).compute(rows)
    except MaskError:
        return False
    return True


def _difference(weights: SharedWeights, passes: MaskedPasses, key: Key, rows: NDArray[np.int16]) -> float:
    """The largest relative difference of outputs between masks and views, in evaluation."""
    architectures = weights.space.decode_many(rows)
    images = images_for(weights, architectures[0], len(rows))
    weights.training = False
    with torch.no_grad():
        masked = first(passes.run(images, key, rows))
        worst = 0.0
        for number, architecture in enumerate(architectures):
            single = first(weights(images[number :: len(rows)], architecture))
            difference = (single - masked[number :: len(rows)]).norm() / single.norm().clamp(min=1e-300)
            worst = larger(worst, float(difference))
    return worst
