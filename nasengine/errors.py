"""Every exception nasengine raises on purpose, and how a wrong input is shown.

NasEngineError
├── InputError            what a person wrote is wrong; carries every Problem found (exit code 2)
│   └── UnknownNameError  a name that no table holds; carries the nearest ones
├── BuildError            an architecture whose network cannot be built or run
├── RunError              a run folder that is locked, damaged or not a run (exit code 1)
├── ExportError           exported files that do not prove equal to the trained network
└── TrialError            one trial went wrong; the search goes on, the trial is told as failed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input.

    Args:
        message: what was found, in one line: "unknown type 'mbconv_5e6' in network.stages.1".
        mark: where; None where no file is involved (a command-line value).
        expected: what would have been right, and the nearest valid name, in one line; may be empty.
        line_text: the source line that `mark` points into, for the excerpt; may be empty.
    """

    message: str
    mark: Mark | None = None
    expected: str = ""
    line_text: str = ""

    def __str__(self) -> str:
        lines = [f"{self.mark}: {self.message}" if self.mark else self.message]
        if self.mark and self.line_text:
            number = f"{self.mark.line:>5}"
            shown, column = _clip(self.line_text.rstrip("\n"), self.mark.column)
            lines.append(f"{number} | {shown}")
            lines.append(f"{' ' * len(number)}   {' ' * (column - 1)}^")
        if self.expected:
            lines.append(f"  {self.expected}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """The same as plain values, for `--json`."""
        place = {"file": self.mark.file, "line": self.mark.line, "column": self.mark.column} if self.mark else {}
        return {**place, "message": self.message, "expected": self.expected}


def _clip(text: str, column: int, width: int = 120) -> tuple[str, int]:
    """Cut a long source line around `column`, so that the caret stays under it."""
    text = text.replace("\t", " ")
    if len(text) <= width:
        return text, column
    start = max(0, min(column - width // 2, len(text) - width))
    cut = text[start : start + width]
    return ("…" + cut[1:] if start else cut), column - start


class NasEngineError(Exception):
    """Base of everything that nasengine raises on purpose."""


class InputError(NasEngineError):
    """What a person wrote is wrong. `problems` holds all that was found, in the order of the file."""

    def __init__(self, problems: Problem | str | Sequence[Problem]) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class UnknownNameError(InputError):
    """A name that no table holds."""


class BuildError(NasEngineError):
    """An architecture whose network cannot be built, or cannot run on the task's input."""


class RunError(NasEngineError):
    """A run folder that is locked by another process or damaged, or a run that came to nothing."""


class NotARunError(InputError, RunError):
    """A path that leads to no run."""


class ExportError(NasEngineError):
    """Exported files that do not compute what the trained network computes; nothing is handed over."""


class TrialError(NasEngineError):
    """One trial went wrong in a way its reason explains (a loss that is not a number, a time limit)."""


_FEW_NAMES = 300
_LONGEST_NAME = 200


def nearest(name: object, known: Iterable[object]) -> str:
    """Say which known names are close to `name`: "; did you mean 'a' or 'b'?", or nothing."""
    word, words = str(name), [str(k) for k in known]
    # Comparing takes 20 µs a pair: a file of thousands of wrong names must not hang.
    if len(words) > _FEW_NAMES:
        words = [other for other in words if other[:1] == word[:1]][:_FEW_NAMES]
    close = difflib.get_close_matches(word, words, n=2) if len(word) <= _LONGEST_NAME else []
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def one_of(known: Iterable[object], limit: int = 12) -> str:
    """List what would be valid: "one of a, b, c"; long lists end in how many more there are."""
    names = sorted(str(k) for k in known)
    if not names:
        return "nothing here (no name is known)"
    more = f", … ({len(names) - limit} more)" if len(names) > limit else ""
    return f"one of {', '.join(names[:limit])}{more}"
