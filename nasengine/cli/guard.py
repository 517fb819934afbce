"""How a command ends: exit code 0 done, 1 the run failed, 2 bad input, 130 interrupted; never with a traceback.

What a person did wrong is said in their terms. What we did wrong is said in one line, which names the file that
holds the traceback.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from nasengine.cli.console import complain
from nasengine.errors import InputError, NasEngineError

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def guarded(command: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Turn what a command raises into its message and exit code."""

    @functools.wraps(command)
    def run(*arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        try:
            return command(*arguments, **named)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except InputError as error:
            complain(str(error))
            raise typer.Exit(BAD_INPUT) from None
        except NasEngineError as error:
            complain(f"{error}")
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader has had enough (`| head`): not an error. Python would complain once more when it flushes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from None
        except OSError as error:  # a full disk, a folder that is not ours: what the system says is the reason
            complain(f"a file cannot be read or written: {first_line(error)}\n  traceback: {keep_traceback()}")
            raise typer.Exit(FAILED) from None
        except Exception as error:
            complain(f"internal error: {type(error).__name__}: {first_line(error)}\n  traceback: {keep_traceback()}")
            raise typer.Exit(FAILED) from None

    return run


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or ["(no message)"])[0]


def keep_traceback() -> str:
    """Write the traceback of the exception being handled to a file of its own; its path, or why there is none."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="nasengine-error-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(f"command: {sys.argv}\n\n{traceback.format_exc()}")
    except OSError as error:
        return f"not kept, {error.strerror}"
    return file.name
