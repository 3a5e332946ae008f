"""`canaryrollout operator`, apart from the other commands: a flag for each setting takes long to work out."""

import inspect
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from canaryrollout.settings import SettingsError, load, options

app = typer.Typer()


def operator(*, kubeconfig: Path | None, context: str | None, **flags: Any) -> None:
    """Run the operator: watch CanaryRollouts and carry them out."""
    try:
        settings = load({name: value for name, value in flags.items() if value is not None}, os.environ)
    except SettingsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    from canaryrollout.app import run  # noqa: PLC0415 - kopf and the clients take most of a second to import

    sys.exit(run(settings, kubeconfig, context))


def _operator_signature() -> inspect.Signature:
    """One flag for each setting; the settings module is the only place that lists them."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    kubeconfig = Annotated[Path | None, typer.Option(help="kubeconfig to use outside a cluster.")]
    context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]
    parameters = [
        inspect.Parameter("kubeconfig", keyword, default=None, annotation=kubeconfig),
        inspect.Parameter("context", keyword, default=None, annotation=context),
    ]
    for option in options():
        many = isinstance(option.default, tuple | dict)
        kind: Any = list[str] | None if many else bool | None if isinstance(option.default, bool) else str | None
        names = (f"{option.flag}/--no-{option.flag[2:]}",) if isinstance(option.default, bool) else (option.flag,)
        shown = f"{option.description} [{option.variable}]"
        annotation = Annotated[kind, typer.Option(*names, help=shown, show_default=False)]
        parameters.append(inspect.Parameter(option.name, keyword, default=None, annotation=annotation))
    return inspect.Signature(parameters)


operator.__signature__ = _operator_signature()  # type: ignore[attr-defined]
operator.__annotations__ = {parameter.name: parameter.annotation for parameter in _operator_signature().parameters.values()}
app.command()(operator)
