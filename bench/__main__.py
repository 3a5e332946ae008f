"""What the README reports, measured on the running mesh: `make bench`. Prints a Markdown table; asserts nothing about time."""

import argparse
import contextlib
import sys
from collections.abc import Callable

from localmesh.mesh import Mesh

from bench import report
from bench.cases import healthy, operator_starts, rollback

Case = Callable[[Mesh, str, int], list[str]]


def _bad(rps: float, error_rate: float) -> Case:
    return lambda mesh, name, runs: report.rollbacks(name, [rollback(mesh, rps, error_rate) for _ in range(runs)])


def _good(rps: float) -> Case:
    return lambda mesh, name, runs: report.releases(name, [healthy(mesh, rps) for _ in range(runs)])


def _starts(mesh: Mesh, name: str, _runs: int) -> list[str]:
    return [report.row(name, operator_starts(mesh), "s")]


CASES: dict[str, Case] = {
    "50 % errors at 50 rps": _bad(50, 0.5),
    "50 % errors at 300 rps": _bad(300, 0.5),
    "5 % errors at 50 rps": _bad(50, 0.05),
    "healthy at 50 rps": _good(50),
    "healthy at 300 rps": _good(300),
    "operator start to ready": _starts,
}


def main() -> None:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure rollbacks and releases on the local mesh.")
    parser.add_argument("--runs", type=int, default=3, help="repetitions of each case (default 3)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains this")
    arguments = parser.parse_args()
    chosen = {name: case for name, case in CASES.items() if arguments.only in name}
    if not chosen:
        parser.error(f"no such case: {arguments.only}; there are {', '.join(CASES)}")
    lines = list(report.HEADER)
    with contextlib.closing(Mesh.attach()) as mesh:
        for name, case in chosen.items():
            print(f"{name} ...", file=sys.stderr, flush=True)
            lines += case(mesh, name, arguments.runs)
    print("\n".join(lines))
    print("\nDefault settings (steps of 5, 10, 25, 50 and 100 %), scrapes every 5 s, clients through an ingress gateway.")
    print(f"Peers: {report.PEERS_SOURCE}.")


if __name__ == "__main__":
    main()
