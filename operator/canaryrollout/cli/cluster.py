"""The user's own way to a cluster: flags, kubeconfig, and errors in one line each."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from canaryrollout.cli.exits import Exit, fail

if TYPE_CHECKING:
    from canaryrollout.kube.client import KubeClient

T = TypeVar("T")

_PANEL = "Cluster"


@dataclass(frozen=True, slots=True)
class Way:
    """To a cluster and a namespace in it, None where the kubeconfig says."""

    namespace: str | None
    kubeconfig: Path | None
    context: str | None


_OPTIONS = {
    "namespace": Annotated[
        str | None, typer.Option("--namespace", "-n", help="Namespace; default: that of the kubeconfig's context.", rich_help_panel=_PANEL)
    ],
    "kubeconfig": Annotated[Path | None, typer.Option(help="kubeconfig; default: $KUBECONFIG or ~/.kube/config.", rich_help_panel=_PANEL)],
    "context": Annotated[str | None, typer.Option(help="Context of the kubeconfig.", rich_help_panel=_PANEL)],
}
"""Of each command that asks a cluster, by the fields of Way."""

NoColor = Annotated[bool, typer.Option("--no-color", help="Plain output; so is NO_COLOR, and output that is no terminal.")]


def with_way(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer shows and calls it: with the options of a way to a cluster in the place of its keyword `way`."""
    kind = inspect.Parameter.KEYWORD_ONLY
    options = [inspect.Parameter(name, kind, default=None, annotation=annotation) for name, annotation in _OPTIONS.items()]

    @functools.wraps(command)
    def called(**given: Any) -> None:
        command(way=Way(**{name: given.pop(name) for name in _OPTIONS}), **given)

    signature = inspect.signature(command)
    shown = [found for parameter in signature.parameters.values() for found in (options if parameter.name == "way" else [parameter])]
    called.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return called


def named(name: str | None) -> str | None:
    """An argument as it was given. An empty one is a variable that a script has not set, and would ask for the list."""
    if name == "":
        fail("the name of the CanaryRollout is empty")
    return name


def on_cluster(work: "Callable[[KubeClient, str], Awaitable[T]]", way: Way) -> T:
    """Do something with a client and the namespace to look in. Ends the program where the cluster cannot be asked."""
    import asyncio  # noqa: PLC0415 - this and the client take most of a second to import

    from canaryrollout.kube.config import ConfigError  # noqa: PLC0415
    from canaryrollout.kube.errors import ApiError, Forbidden, KindMissing  # noqa: PLC0415

    try:
        return asyncio.run(_connected(work, way))
    except ConfigError as error:
        fail(str(error), Exit.CLUSTER)
    except KindMissing:
        fail("the cluster does not serve canaryrollout.io/v1beta1: install its CustomResourceDefinition", Exit.CLUSTER)
    except Forbidden as error:
        if error.status == HTTPStatus.UNAUTHORIZED:
            fail(
                "the API server does not accept the kubeconfig's credentials: they are missing or have expired, log in again", Exit.CLUSTER
            )
        fail(f"the API server refuses: {error.message}", Exit.CLUSTER)
    except ApiError as error:
        fail(f"the API server does not answer as it should: {error}", Exit.CLUSTER)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


async def _connected(work: "Callable[[KubeClient, str], Awaitable[T]]", way: Way) -> T:
    from canaryrollout.kube.client import KubeClient  # noqa: PLC0415
    from canaryrollout.kube.config import context_namespace  # noqa: PLC0415

    async with await KubeClient.load(way.kubeconfig, way.context, user_agent="kubectl-canary") as kube:
        return await work(kube, way.namespace or context_namespace(way.kubeconfig, way.context))
