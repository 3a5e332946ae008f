"""Standard output that may be closed or full: what is said of it, and how the program ends."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator

import typer

from canaryrollout.cli.exits import Exit


class OutputError(Exception):
    """Standard output takes nothing more. No OSError, which typer and rich end in ways of their own."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause.strerror or str(cause))
        self.read_by_nobody = isinstance(cause, BrokenPipeError)


class _Told(io.TextIOWrapper):
    """Says in one way that it cannot be written, whoever writes."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise OutputError(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise OutputError(error) from error


@contextlib.contextmanager
def whole_output() -> Iterator[None]:
    """What is done inside ends as other tools do where its output goes nowhere.

    A reader that has seen enough, such as head, is no error: nothing is said, and the exit code is that of SIGPIPE. Anything else,
    such as a full disk, is one line and an exit code of its own, for nobody may take half an output for all of it.
    """
    plain = sys.stdout
    if not isinstance(plain, io.TextIOWrapper):  # closed from the start, or somebody's own
        yield
        return
    # Beside the first one, not in its place: others ask that one how wide the terminal is.
    sys.stdout = _Told(
        plain.buffer,
        encoding=plain.encoding,
        errors=plain.errors,
        line_buffering=plain.line_buffering,
        write_through=plain.write_through,
    )
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OutputError as error:
        _drop_the_rest()
        if error.read_by_nobody:
            raise SystemExit(Exit.BROKEN_PIPE) from None
        with contextlib.suppress(OSError):
            typer.echo(f"error: standard output cannot be written: {error}", err=True)
        raise SystemExit(Exit.OUTPUT) from None


def _drop_the_rest() -> None:
    """What is left in buffers would be tried again, and be complained about, at the very end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
