"""The command line. Heavy parts are imported by the command that needs them, so that --help is quick."""

import typer

from canaryrollout import __version__
from canaryrollout.cli.plan import plan
from canaryrollout.cli.simulate import simulate
from canaryrollout.cli.status import list_rollouts, status

app = typer.Typer(name="canaryrollout", no_args_is_help=True, help="Progressive canary rollouts on Istio, proved step by step.")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def operator(context: typer.Context) -> None:
    """Run the operator: watch CanaryRollouts and carry them out."""
    from canaryrollout.cli.operator import app as inner  # noqa: PLC0415 - its flags take half a second to work out

    inner(args=context.args, prog_name=context.command_path)


app.command()(status)
app.command("list")(list_rollouts)
app.command()(plan)
app.command()(simulate)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(operator)
