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
from demo.releases import RELEASES
from demo.report import report
from demo.result import Result
from demo.story import play


def main() -> int:
    """Run the demo; gives the exit code."""
    signal.signal(signal.SIGTERM, _end)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without some character still gets the rest
    console = Console(highlight=False)
    results: list[Result] = []
    try:
        with contextlib.closing(Mesh.attach()) as mesh:
            play(mesh, console, results)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except (DemoError, LocalMeshError, AssertionError) as error:
        reasons = [str(error)]
    else:
        reasons = []
    if results:
        console.print(*report(results), sep="\n")
    reasons += [result.complaint for result in results if result.complaint]
    for reason in reasons:
        print(f"demo: {reason}", file=sys.stderr)
    return 1 if reasons or len(results) < len(RELEASES) else 0


def _end(_signum: int, _frame: FrameType | None) -> None:
    """Leave through the `finally` blocks, so that the terminal and the operator are left as they should be."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
