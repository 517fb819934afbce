"""The keys of a strategy file: which stand where, and what each may hold.

Every key is one row of a table of forms; the JSON Schema is made from the same tables, and from the schema the page
docs/reference/strategy_language.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nasengine.errors import nearest, one_of
from nasengine.objectives import DIRECTIONS
from nasengine.search.language.budgets import FORMS as BUDGETS
from nasengine.search.language.components import ComponentForm
from nasengine.search.language.forms import (
    WRONG,
    AnyMapping,
    Form,
    Number,
    OneOf,
    Reader,
    Schema,
    Word,
    Words,
    described,
    plain_value,
    shown,
)
from nasengine.search.language.settings import Component, EvaluatorSettings
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar, YamlSequence


@dataclass(frozen=True, slots=True)
class AugmentationForm:
    """One augmentation, or a list of them to be applied in turn; read as plain values."""

    about: str = ""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        form = ComponentForm("augmentation")
        if not isinstance(node, YamlSequence):
            one = form.read(node, path, reader)
            return one.plain() if isinstance(one, Component) else WRONG
        items = [reader.read(form, item, f"{path}.{index}") for index, item in enumerate(node.items)]
        if not items:
            return reader.note(node.mark, f"{path} is an empty list", "expected augmentations, or the word none")
        return [item.plain() for item in items] if all(isinstance(item, Component) for item in items) else WRONG

    def schema(self) -> Schema:
        one = ComponentForm("augmentation").schema()
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}], **described(self.about)}


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping of which every key has a form of its own; read as key -> value, keys that are not there left out."""

    forms: Mapping[str, Form]
    about: str = ""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        mapping = reader.mapping(node, path, path)
        if mapping is None:
            return WRONG
        reader.unknown_keys(mapping, self.forms, path)
        return reader.fields(mapping, path, self.forms)

    def schema(self) -> Schema:
        properties = {key: form.schema() for key, form in self.forms.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False, **described(self.about)}


OBJECTIVE: Mapping[str, Form] = {
    "direction": OneOf(DIRECTIONS, about="which way is better; without it there is a constraint and no objective"),
    "min": Number(about="the least it may be"),
    "max": Number(about="the most it may be"),
}


@dataclass(frozen=True, slots=True)
class ObjectiveForm:
    """`maximize`, `minimize`, or `{direction, min, max}`; read as a dictionary of these."""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        if not isinstance(node, YamlMapping):
            word = OBJECTIVE["direction"].read(node, path, reader)
            return WRONG if word is WRONG else {"direction": word}
        reader.unknown_keys(node, OBJECTIVE, path)
        values = reader.fields(node, path, OBJECTIVE)
        if not node.entries:
            return reader.note(node.mark, f"{path} is an empty mapping", "expected direction, min or max")
        if "min" in values and "max" in values and values["min"] > values["max"]:
            return reader.note(node.mark, f"{path} has its min {values['min']} above its max {values['max']}")
        return values

    def schema(self) -> Schema:
        bounds = {**Fields(OBJECTIVE).schema(), "minProperties": 1}
        return {"anyOf": [OneOf(DIRECTIONS).schema(), bounds]}


@dataclass(frozen=True, slots=True)
class ArchitectureForm:
    """`known.NAME`, `trial.NUMBER`, or a mapping choice -> option."""

    about: str = ""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        if isinstance(node, YamlMapping):
            return plain_value(node, path, reader)
        word = node.value if isinstance(node, YamlScalar) else None
        if isinstance(word, str):
            kind, _, rest = word.partition(".")
            if (kind == "known" and rest) or (kind == "trial" and rest.isdecimal()):
                return word
        expected = "expected known.NAME, trial.NUMBER, or a mapping of choices to options"
        return reader.note(node.mark, f"{path} is {shown(node)}", expected)

    def schema(self) -> Schema:
        word = {"title": "known.NAME or trial.NUMBER", "type": "string", "pattern": r"^(known\..+|trial\.[0-9]+)$"}
        options = {"title": "a mapping of choices to options", "type": "object"}
        return {"anyOf": [word, options], **described(self.about)}


# The keys that stand beside the type and the arguments of an evaluator.
EVALUATOR: Mapping[str, Form] = {
    "budget": BUDGETS["trial"],
    "start": Word("a prepare phase whose shared weights every trial starts from, or RUN/PHASE of another run"),
}


@dataclass(frozen=True, slots=True)
class EvaluatorForm:
    """An evaluator's type and arguments, and beside them the budget of a trial and where its weights start."""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        component = ComponentForm("evaluator", EVALUATOR).read(node, path, reader)
        given = node.entries if isinstance(node, YamlMapping) else {}
        values = reader.fields(node, path, EVALUATOR) if isinstance(node, YamlMapping) else {}
        if not isinstance(component, Component):
            return WRONG
        # An evaluator that trains nothing says so in its class (`needs_budget = False`).
        if "budget" not in given and getattr(reader.tables["evaluator"][component.type], "needs_budget", True):
            expected = "expected `budget:`, how long each is trained, such as {epochs: 2}"
            return reader.note(node.mark, f"{path} has no budget for a trial", expected)
        return EvaluatorSettings(component, **values)

    def schema(self) -> Schema:
        return ComponentForm("evaluator", EVALUATOR, about="what measures a candidate").schema()


DATA = Fields(
    {
        "name": Word("a data set; without it, that of the run"),
        "validation": Number(low=0, high=0.9, about="share of the training images held out"),
        "held_out_per_class": Number(low=1, whole=True, about="images of each class held out, instead of a share"),
        "limit": Number(low=1, whole=True, about="use at most so many training images"),
        "batch": Number(low=1, whole=True, about="images in a batch"),
        "augmentation": AugmentationForm("of training images: a type, or a list of types applied in turn"),
        "seed": Number(low=0, whole=True, about="of the split"),
    },
    about="how the training images are split and shown; the test images are read by retrain only",
)

_PHASE_DATA = Fields(
    {key: form for key, form in DATA.forms.items() if key != "name"}, about="as in the strategy's `data`"
)

# The keys of a strategy, in the order in which people write them; those that are text, with their meaning.
TEXTS: Mapping[str, Form] = {
    "name": Word("of the strategy; without it, that of the file"),
    "about": Word("what the strategy does, for people"),
    "source": Word("who published it"),
}
TOP = (*TEXTS, "data", "objectives", "lag", "phases")

LAG = Number(low=1, whole=True, about="trial k of a search is asked once the trials up to k - lag are told")

_COMMON: Mapping[str, Form] = {
    "name": Word("unique, also the phase's folder in the run; the kind of the phase unless given"),
    "from": Words("earlier phases whose artifacts are used, or RUN/PHASE of another run"),
    "data": _PHASE_DATA,
    "network": AnyMapping("arguments of the network that no choice decides, for this phase only"),
}

# The keys that a phase reads itself. What else stands in prepare and retrain belongs to the trainer.
PHASES: Mapping[str, Mapping[str, Form]] = {
    "prepare": {**_COMMON, "budget": BUDGETS["prepare"]},
    "search": {
        **_COMMON,
        "algorithm": ComponentForm("algorithm", about="what proposes candidates"),
        "scheduler": ComponentForm("scheduler", about="how much of its budget a candidate gets, and which go on"),
        "evaluator": EvaluatorForm(),
        "budget": BUDGETS["search"],
        "require": AnyMapping("of the artifacts of `from`; `probability: 0.99` is the least that a derived option has"),
    },
    "retrain": {
        **_COMMON,
        "best": Number(low=1, whole=True, about="so many of the architectures found"),
        "seeds": Number(low=1, whole=True, about="trainings of each"),
        "architecture": ArchitectureForm("this one, instead of the best"),
        "start": Word(
            "a prepare phase whose shared weights it starts from, or a retrain phase; or RUN/PHASE of another run"
        ),
        "when": OneOf(
            ("always", "not_converged"), about="not_converged: if a prepare phase did not, which no run can yet"
        ),
        "quantization": OneOf(("none", "fake"), about="none: in floating point; fake: as the space says, not yet"),
        "budget": BUDGETS["retrain"],
    },
}
KINDS = tuple(PHASES)


def single_key(reader: Reader, node: YamlNode, path: str) -> tuple[str, YamlNode] | None:
    """The kind and the content of one item of `phases`; None after noting why it has none."""
    expected = f"expected {{KIND: …}} with {one_of(KINDS)}"
    if not isinstance(node, YamlMapping) or not node.entries:
        reader.note(node.mark, f"{path} is {shown(node)}", expected)
        return None
    kind, *more = node.entries
    if kind not in KINDS:
        reader.note(node.key_marks[kind], f"unknown phase {kind!r} in {path}", f"{expected}{nearest(kind, KINDS)}")
        return None
    for key in more:
        reader.note(node.key_marks[key], f"{path} has a second key, {key!r}", "expected each phase as its own item")
    return kind, node.entries[kind]
