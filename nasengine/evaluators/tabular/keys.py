"""Every key of a table's description: the mapping it stands in, whether it must be there, and what it means.

The reader refuses keys that are not here; `docs/make_reference.py` prints them.
"""

from __future__ import annotations

from nasengine.space.language.keys import Key, Keys

TABLE = Keys(
    "what a CSV file says: its files, how its rows name architectures, and what was measured",
    {
        "name": Key("of the table; without it, that of the file"),
        "about": Key("what was measured and how, for people"),
        "source": Key("who published it"),
        "space": Key("the space whose architectures the rows name, by file or shipped name"),
        "data": Key("the CSV file, relative to the description or to the folder of data (`--data-dir`)", required=True),
        "join": Key("a list of further files whose columns are added"),
        "architecture": Key(
            "how a row names its architecture: `{code: …}`, `{json: COLUMN}` or `{columns: {CHOICE: COLUMN}}`; "
            "without it by columns that are called as choices are"
        ),
        "measurements": Key("name -> what a search is told, and may name in `objectives`", required=True),
        "report": Key("name -> what is only looked at after a search"),
    },
)

JOIN = Keys(
    "a further file",
    {
        "data": Key("where it lies, as `data` of the table", required=True),
        "on": Key("the column that both have, alike in rows that belong together", required=True),
        "prefix": Key("put before the names of its columns"),
    },
)

CODE = Keys(
    "architectures as short codes, one part for each choice",
    {
        "code": Key("the column of the codes", required=True),
        "choices": Key("a list of paths: the choice that each part answers", required=True),
        "options": Key("part -> option; without it a part is the index of the option: 0 to 9, then a to z"),
        "separator": Key("between the parts; without it each part is one character"),
    },
)

JSON = Keys("architectures as JSON", {"json": Key("the column, holding `{choice: option}`", required=True)})

COLUMNS = Keys(
    "a column for each choice, empty where it is not asked",
    {"columns": Key("path of a choice -> column", required=True)},
)

MEASUREMENT = Keys(
    "one thing that was measured; or only `maximize` or `minimize`, where its column has its name",
    {
        "direction": Key("maximize or minimize: which way is better", required=True),
        "column": Key("where it stands; its name unless given"),
        "by": Key("the unit of a budget, such as epochs, where there is a column for each"),
        "columns": Key("budget -> column, beside `by`"),
        "scale": Key("what the cells are multiplied by: 0.01 makes a share of per cent", default=1),
        "missing": Key("what an empty cell counts as; without it, it is an error"),
        "truth": Key("which measurement of `report` says what this one is really worth: regret is counted in it"),
    },
)
