"""Collects everything wrong with an input, so that a person sees all of it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nasengine.errors import InputError, Mark, Problem

SHOWN = 50
ENOUGH = 100  # nobody repairs more at once, and looking for the nearest name takes time


class Problems:
    """A list of problems that knows the source lines its marks point into.

    Args:
        lines: file name -> its lines; a file that is missing here gets no excerpt. The mapping may still grow.
    """

    def __init__(self, lines: Mapping[str, Sequence[str]]) -> None:
        self.lines = lines
        self._found: dict[tuple[Mark | None, str], Problem] = {}

    def add(self, message: str, mark: Mark | None, expected: str = "") -> None:
        """Note a problem; the same message at the same place (an alias stands at several) is noted once.

        Raises:
            InputError: there are more than enough problems already.
        """
        line_text = ""
        if mark is not None:
            lines = self.lines.get(mark.file, ())
            line_text = lines[mark.line - 1] if 0 < mark.line <= len(lines) else ""
        self._found.setdefault((mark, message), Problem(message, mark, expected, line_text))
        if len(self._found) > ENOUGH:
            self.check()

    def extend(self, problems: Sequence[Problem]) -> None:
        """Note problems that another check has found, with the excerpt added."""
        for problem in problems:
            self.add(problem.message, problem.mark, problem.expected)

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def found(self) -> tuple[Problem, ...]:
        """Everything noted, in the order of the files and of the lines in them."""
        files = list(dict.fromkeys(mark.file for mark, _ in self._found if mark is not None))

        def place(problem: Problem) -> tuple[int, int, int]:
            mark = problem.mark
            return (-1, 0, 0) if mark is None else (files.index(mark.file), mark.line, mark.column)

        return tuple(sorted(self._found.values(), key=place))

    def check(self) -> None:
        """Raise what was noted, if anything was.

        Raises:
            InputError: with every problem, or the first 50 and how many more there are.
        """
        found = self.found
        if len(found) > SHOWN:
            rest = f"{len(found) - SHOWN}" if len(found) <= ENOUGH else "many"
            found = (*found[:SHOWN], Problem(f"… and {rest} more problems"))
        if found:
            raise InputError(found)
