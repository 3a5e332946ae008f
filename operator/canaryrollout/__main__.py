"""`canaryrollout`, `python -m canaryrollout` and `kubectl canary`."""

from canaryrollout.cli.main import app


def main() -> None:
    """Run the command line."""
    app()


def kubectl() -> None:
    """As a plugin of kubectl: `kubectl canary` runs `kubectl-canary`."""
    app(prog_name="kubectl canary")


if __name__ == "__main__":
    main()
