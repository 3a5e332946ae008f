"""Exit codes of all commands, and the one way to end with an error."""

from enum import IntEnum
from typing import NoReturn

import typer

from canaryrollout.cli.visible import visible


class Exit(IntEnum):
    """What a script can tell apart."""

    OK = 0
    CLUSTER = 1
    """The API server did not answer, or refused, or nothing says where it is."""
    USAGE = 2
    """A flag, or a file that cannot be used."""
    NOT_FOUND = 3
    """There is no such CanaryRollout."""
    ROLLED_BACK = 4
    PAUSED = 5
    TIMEOUT = 6
    """`status --wait` gave up; the rollout goes on."""
    FOUND_ERRORS = 7
    """`plan` found something that keeps the rollout from starting."""
    FOUND_WARNINGS = 8
    """`plan` found nothing worse than what `--fail-on` asked for."""
    OUTPUT = 9
    """Standard output cannot be written; what it holds may be a part."""
    INTERRUPTED = 130
    """Ctrl-C."""
    BROKEN_PIPE = 141
    """Whoever read standard output has closed it: what a shell shows of a program that SIGPIPE ended."""


def fail(message: str, code: Exit = Exit.USAGE) -> NoReturn:
    """One line on standard error."""
    typer.echo(f"error: {visible(' '.join(message.split()))}", err=True)
    raise typer.Exit(code)
