"""How the tests of the command line call it."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from nasengine.cli.main import app

Nasengine = Callable[..., Result]


@pytest.fixture
def nasengine() -> Nasengine:
    """Run a command in this process, as if piped; Result has exit_code, stdout and stderr."""

    def run(*arguments: object, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
        assert "Traceback" not in result.stderr, result.output
        # The journal's tracebacks of trials that failed are part of what --json gives.
        assert "--json" in arguments or "Traceback" not in result.stdout, result.output
        return result

    return run
