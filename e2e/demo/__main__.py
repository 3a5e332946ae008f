"""`python -m localmesh run --name demo -- python -m demo`. Exit code 0 only when all releases ended as they should."""

import contextlib
import io
import signal
import sys
from types import FrameType

from localmesh.errors import LocalMeshError
from localmesh.mesh import Mesh
from rich.console import Console

from demo.errors import DemoError
from demo.report import report
from demo.result import Result
from demo.story import play


def main() -> int:
    """Run the demo; gives the exit code."""
    signal.signal(signal.SIGTERM, _end)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without some character still gets the rest
    console = Console(highlight=False)
    try:
        with contextlib.closing(Mesh.attach()) as mesh:
            return _run(mesh, console)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except LocalMeshError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2


def _run(mesh: Mesh, console: Console) -> int:
    """Play, report, and say what went wrong and where to look."""
    results: list[Result] = []
    reasons: list[str] = []
    try:
        play(mesh, console, results)
    except (DemoError, LocalMeshError, AssertionError) as error:
        reasons.append(str(error))
    if results:
        console.print(*report(results), sep="\n")
    reasons += [result.complaint for result in results if result.complaint]
    for reason in reasons:
        print(f"demo: {reason}", file=sys.stderr)
    if reasons:
        print(f"demo: the operator's log is in {mesh.folder.sub('operators')}", file=sys.stderr)
    return 1 if reasons else 0


def _end(_signum: int, _frame: FrameType | None) -> None:
    """Leave through the `finally` blocks, so that the terminal and the operator are left as they should be."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
