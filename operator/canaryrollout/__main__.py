"""`canaryrollout`, `python -m canaryrollout` and `kubectl canary`."""

from canaryrollout.cli.main import app
from canaryrollout.cli.output import whole_output


def main() -> None:
    """Run the command line."""
    with whole_output():
        app()


def kubectl() -> None:
    """As a plugin of kubectl: `kubectl canary` runs `kubectl-canary`."""
    with whole_output():
        app(prog_name="kubectl canary")


if __name__ == "__main__":
    main()
