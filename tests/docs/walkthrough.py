"""Follows a page of the documentation as its reader would: writes its files, runs its commands, compares what it shows.

The blocks of a page, in its order:
- a block whose first line is a comment with a file name (`# my_space.yaml`) is written to that file;
- another `yaml` or `json` block is read by nobody here (the tests of the languages do that);
- `bash` runs in a shell that stops at the first command that fails; `bash not-run` is for other machines;
- `python` runs as a program of its own; a failing one fails the page; `python not-run` is a part of one;
- `text` right after one of these is what it prints, compared loosely: each line must be found, in this order, where
  any number stands for any other, any gap for any other, and `…` for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w./-]+\.\w+)(?:[,:] .*)?")
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, what else its first line says, its text, and the line where it begins."""

    language: str
    info: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that the reader is to write it to."""
        named = FILE_NAME.fullmatch(self.text.split("\n", 1)[0])
        return named.group(1) if named and self.language in ("python", "yaml", "json") else None

    @property
    def command(self) -> list[str] | None:
        """How it is run, if it is."""
        if "not-run" in self.info or self.file:
            return None
        commands = {"bash": ["bash", "-e", "-c", self.text], "python": [sys.executable, "-c", self.text]}
        return commands.get(self.language)


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for match in BLOCK.finditer(page):
        yield Block(match.group(1), match.group(2).strip(), match.group(3), page.count("\n", 0, match.start()) + 1)


def follow(page: str, folder: Path, *, replace: Mapping[str, str] | None = None, timeout: float = 240) -> list[str]:
    """Do in `folder` what the page says; returns what each command printed.

    Args:
        page: its text.
        replace: what in it means something else on this machine (an address), or would take too long (epochs).
        timeout: for each command.

    Raises:
        AssertionError: a command that fails, or prints something else; it names the line of the page.
    """
    for old, new in (replace or {}).items():
        assert old in page, f"the page does not say {old!r} any more"
        page = page.replace(old, new)
    printed: list[str] = []
    previous: Block | None = None
    for block in blocks(page):
        if block.language == "text" and previous is not None:
            missing = first_missing(block.text, printed[-1])
            assert missing is None, f"line {block.line}: {missing!r} is not in what was printed:\n{printed[-1]}"
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")
        previous = block if block.command else None
        if block.command:
            printed.append(run(block, block.command, folder, timeout))
    return printed


def run(block: Block, command: list[str], folder: Path, timeout: float) -> str:
    """What a block prints, on both streams in their order."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**own, "PATH": os.pathsep.join(paths), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, f"line {block.line} ended with {done.returncode}:\n{block.text}\n{done.stdout}"
    return done.stdout


def first_missing(shown: str, printed: str) -> str | None:
    """The first line shown that is not in what was printed, after the one before it; None if all are."""
    rest = map(plain, printed.splitlines())
    for line in shown.splitlines():
        pattern = re.compile(".*".join(map(re.escape, plain(line).split("…"))))
        if line.strip() not in ("", "…") and not any(pattern.fullmatch(other) for other in rest):
            return line
    return None


def plain(line: str) -> str:
    """A line with each number as 0 and each gap as one space."""
    return " ".join(NUMBER.sub("0", line).split())
