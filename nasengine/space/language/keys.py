"""Every key of the space language: the mapping it stands in, whether it must be there, and what it means.

One table for three readers: the grammar refuses keys that are not here, the JSON Schema describes those that are, and
`docs/make_reference.py` prints them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nasengine.space.holes import Scalar


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Args:
        about: what stands behind it, for people.
        required: the mapping is none without it.
        default: what holds where it is not written; None where nothing does.
    """

    about: str
    required: bool = False
    default: Scalar = None

    def schema(self) -> dict[str, Any]:
        """What a JSON Schema says of the value behind it."""
        return {"description": self.about, **({} if self.default is None else {"default": self.default})}


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that may stand in one kind of mapping.

    Args:
        about: what the mapping is.
        table: key -> what it means, in the order in which people write them.
        others: what any other key is; empty where there must be none.
    """

    about: str
    table: Mapping[str, Key]
    others: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Every key."""
        return tuple(self.table)

    @property
    def required(self) -> tuple[str, ...]:
        """The keys that must be there."""
        return tuple(name for name, key in self.table.items() if key.required)


SPACE = Keys(
    "what to search: a constructor call with holes",
    {
        "name": Key("of the space", required=True),
        "about": Key("what the space holds, for people"),
        "source": Key("who published it"),
        "extends": Key("a space of the same folder, or a shipped one, on which this file is a merge patch"),
        "let": Key("name -> value, for `{use: name}`: with holes in it one shared decision, without a plain value"),
        "task": Key("what is to be solved, and the shape of its input; needed beside `network`"),
        "network": Key("the constructor call that is searched; a space has this or `proxy`"),
        "proxy": Key("programs that score a network without training it, instead of `network`: no run can yet"),
        "quantization": Key("which layers compute in which number format, the first rule that matches: no run can yet"),
        "constraints": Key("bounds on costs, known before anything is trained: what breaks them is never proposed"),
        "relations": Key("what must hold between decisions"),
        "known": Key("name -> an architecture with its costs: baselines of reports, seeds of populations, tests"),
    },
)

HOLES: Mapping[str, Keys] = {
    "choice": Keys(
        "one of some plain values, or one of some named nodes",
        {
            "choice": Key(
                "plain values, which share weights where shapes allow; or nodes under labels, each with weights of "
                "its own, of which the architecture stores the label",
                required=True,
            ),
            "weights": Key(
                "option -> how often it is drawn, beside the 1 of an option that is not named; changes no count"
            ),
        },
    ),
    "range": Keys(
        "an integer, both ends included",
        {"range": Key("`[low, high]` or `[low, high, step]`; the step must reach the upper end", required=True)},
    ),
    "subset": Keys(
        "some of the items, in the order in which they are listed",
        {"subset": Key("what there is to take, and how many are taken", required=True)},
    ),
    "repeat": Keys(
        "one slot with that many copies, each deciding for itself",
        {
            "repeat": Key("how many copies; a choice or a range may begin at 0, which is nothing", required=True),
            "of": Key("what is copied", required=True),
        },
    ),
    "optional": Keys(
        "present, or absent: the identity in a series, nothing in parallel",
        {"optional": Key("what may be absent", required=True)},
    ),
    "use": Keys("the value of an entry of `let`", {"use": Key("its name", required=True)}),
    "same_as": Keys(
        "the value chosen elsewhere",
        {
            "same_as": Key(
                "the path of that value; leading dots climb: `.width` is a sibling, `..width` one of the mapping above",
                required=True,
            )
        },
    ),
}

SUBSET = Keys(
    "the items of a subset and their number",
    {
        "of": Key("plain values, or nodes under labels", required=True),
        "size": Key("how many are taken, or `[least, most]`", required=True),
    },
)

CALL = Keys(
    "a constructor call; without `type` a group of settings",
    {"type": Key("what is constructed: a registered type, or `module:Class` of a plug-in")},
    others="an argument of the constructor; a value at any depth may be a hole",
)

CELL = Keys(
    "a directed acyclic graph: node 0 is the input, every other node the sum of what its edges bring",
    {
        "type": Key("the word cell"),
        "nodes": Key("how many, the input included", required=True),
        "edges": Key(
            "FROM-TO, lower node first, -> the node of the space on that edge; `all` stands for each pair that is not "
            "written, with decisions of its own",
            required=True,
        ),
        "output": Key("the last node, or all but the input concatenated", default="last"),
    },
)

TASK = Keys(
    "what is to be solved",
    {
        "kind": Key("of the task: image_classification, or that of a plug-in", required=True),
        "input": Key("`[channels, height, width]`; the height may be a hole, the width then is `same`", required=True),
    },
    others="a setting of the task, such as `classes`; plain values only",
)

RULE = Keys(
    "one rule of `quantization`: with `format`, or with `weight_format`, `activation_format` or both",
    {
        "at": Key("pattern over the paths of nodes: `*` is any text in a name, `**` any names", required=True),
        "per": Key("what shares one choice of format", default="layer"),
        "format": Key("of weights and activations: a name such as int8, or a choice of names"),
        "weight_format": Key("of the weights"),
        "activation_format": Key("of the activations"),
        "weights": Key("the quantizer of the weights: its name, or its plain settings"),
        "activations": Key("the quantizer of the activations"),
    },
)

BOUNDS = Keys(
    "bounds on one cost, one at least",
    {"min": Key("the least it may be"), "max": Key("the most it may be")},
)

ORDER = Keys(
    "decisions compared with one another, in the order of the list",
    {
        "order": Key("paths of two choices or more", required=True),
        "is": Key("how each compares with the one after it", required=True),
    },
)

SUM = Keys(
    "decisions added up; one bound at least",
    {
        "sum": Key("paths of choices", required=True),
        "min": Key("the least their sum may be"),
        "max": Key("the most their sum may be"),
    },
)

KNOWN = Keys(
    "a named architecture",
    {
        "architecture": Key("path of a choice -> its option", required=True),
        "about": Key("what is known of it, for people"),
    },
    others="a cost as published; `nasengine check` counts it again",
)

PROXY = Keys(
    "a program that scores a network without training it",
    {
        "type": Key("of the program", required=True),
        "branches": Key("two or more, computed side by side", required=True),
        "join": Key("how their scores become one", required=True),
    },
)

BRANCH = Keys(
    "one branch of a proxy",
    {
        "input": Key("what it reads", required=True),
        "operations": Key("what is done to it, one after the other", required=True),
    },
)
