"""Budgets: amounts with their units, in a strategy file and on the command line.

{epochs: 5}   {trials: 30}   {steps: 20000}   {epochs: 20, steps_per_epoch: 250}   {hours: 2}
{epochs: {per_model: 100}}          for each model of a mixture, not for all of them together
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nasengine.errors import InputError, Problem
from nasengine.search.language.forms import WRONG, Form, Number, Reader, Schema, described, shown
from nasengine.search.language.settings import Budget
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar

SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600}

UNITS: Mapping[str, Number] = {
    "trials": Number(low=1, whole=True, about="candidates measured"),
    "epochs": Number(above=0, about="passes over the training images"),
    "steps": Number(low=1, whole=True, about="updates of the weights"),
    "steps_per_epoch": Number(low=1, whole=True, about="an epoch ends after so many updates"),
    "seconds": Number(above=0, about="wall time"),
    "minutes": Number(above=0, about="wall time"),
    "hours": Number(above=0, about="wall time"),
}
TRAINING = ("epochs", "steps", "steps_per_epoch")
SEARCH = ("trials", *SECONDS)
PREPARATION = (*TRAINING, *SECONDS)
PER_MODEL = "per_model"


@dataclass(frozen=True, slots=True)
class BudgetForm:
    """A mapping unit -> amount.

    Args:
        units: the units that mean something here.
        per_model: `{per_model: amount}` may stand for an amount.
    """

    units: tuple[str, ...]
    per_model: bool = False
    about: str = ""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Budget | None:
        wrong: None
        expected = f"expected a unit and an amount, such as {{{self.units[0]}: 10}}"
        if not isinstance(node, YamlMapping) or not node.entries:
            wrong = reader.note(node.mark, f"{path} is {shown(node)}", expected)
            return wrong
        if self.per_model and PER_MODEL in node.entries:
            meant = self._unit_first(node.entries[PER_MODEL])
            mark = node.key_marks.get(PER_MODEL, node.mark)
            wrong = reader.note(mark, f"{path} names {PER_MODEL} before the unit", f"expected the unit first: {meant}")
            return wrong
        before = len(reader.found)
        forms = {unit: UNITS[unit] for unit in self.units}
        reader.unknown_keys(node, forms, path)
        each = {unit: self._is_per_model(entry, f"{path}.{unit}", reader) for unit, entry in node.entries.items()}
        entries = {
            unit: entry.entries[PER_MODEL] if each[unit] and isinstance(entry, YamlMapping) else entry
            for unit, entry in node.entries.items()
            if each[unit] is not WRONG
        }
        amounts = reader.fields(YamlMapping(entries, node.mark, node.key_marks), path, forms)
        if "steps" in amounts and "epochs" in amounts:
            reader.note(node.mark, f"{path} gives both epochs and steps", "expected one of them")
        if tuple(amounts) == ("steps_per_epoch",):
            reader.note(node.mark, f"{path} gives steps_per_epoch alone", "expected epochs or steps beside it")
        times = [unit for unit in amounts if unit in SECONDS]
        if len(times) > 1:
            reader.note(node.mark, f"{path} gives the time {len(times)} times ({', '.join(times)})", "expected one")
        if len(reader.found) > before:
            return WRONG  # type: ignore[no-any-return]
        for unit in times:
            amounts["seconds"] = amounts.pop(unit) * SECONDS[unit]
        return Budget(amounts, per_model=any(each.values()))

    def _unit_first(self, amounts: YamlNode) -> str:
        """What is meant by `{per_model: amounts}`: `{epochs: {per_model: 100}}`."""
        entries = amounts.entries if isinstance(amounts, YamlMapping) else {}
        known = {
            unit: entry.value for unit, entry in entries.items() if unit in self.units and isinstance(entry, YamlScalar)
        }
        written = (f"{unit}: {{{PER_MODEL}: {amount}}}" for unit, amount in (known or {self.units[0]: 100}).items())
        return f"{{{', '.join(written)}}}"

    def _is_per_model(self, entry: YamlNode, path: str, reader: Reader) -> Any:
        """Whether an amount is `{per_model: amount}`; WRONG after noting other keys."""
        if not self.per_model or not isinstance(entry, YamlMapping) or not entry.entries:
            return False
        before = len(reader.found)
        reader.unknown_keys(entry, (PER_MODEL,), path)
        return WRONG if len(reader.found) > before else True

    def schema(self) -> Schema:
        def amount(unit: str) -> Schema:
            plain = UNITS[unit].schema()
            if not self.per_model:
                return plain
            each = {
                "type": "object",
                "properties": {PER_MODEL: plain},
                "required": [PER_MODEL],
                "additionalProperties": False,
            }
            return {"anyOf": [plain, each], **described(UNITS[unit].about)}

        return {
            "type": "object",
            "properties": {unit: amount(unit) for unit in self.units},
            "additionalProperties": False,
            "minProperties": 1,
            **described(self.about),
        }


def seconds(text: str | float) -> float:
    """The seconds of a duration as people write it: "90", "90s", "30m", "2h", "1h30m", "1.5h".

    Raises:
        InputError: not a duration, or not above zero.
    """
    written = str(text).strip().lower()
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", written)
    hours, minutes, rest = (float(part or 0) for part in match.groups()) if match else (0.0, 0.0, 0.0)
    total = 3600 * hours + 60 * minutes + rest
    if total <= 0:
        raise InputError(Problem(f"{text!r} is not a duration", expected="expected such as 90s, 30m, 2h or 1h30m"))
    return total


FORMS: Mapping[str, Form] = {
    "search": BudgetForm(SEARCH, about="of the whole search"),
    "trial": BudgetForm(TRAINING, about="of one trial"),
    "retrain": BudgetForm(TRAINING, about="of one training"),
    "prepare": BudgetForm(PREPARATION, per_model=True, about="of the whole preparation"),
}
