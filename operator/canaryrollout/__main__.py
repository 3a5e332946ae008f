"""`canaryrollout` and `python -m canaryrollout`."""

from canaryrollout.cli.main import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
