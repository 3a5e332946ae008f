"""The half of `canaryrollout simulate` that asks Prometheus's history."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.metrics.endpoint import PrometheusEndpoint
from canaryrollout.metrics.prometheus import PrometheusClient
from canaryrollout.simulate.backtest import History, Subject, Verdict
from canaryrollout.simulate.replay import Shell
from canaryrollout.simulate.report import WORDS, spell_seconds, table

if TYPE_CHECKING:
    from canaryrollout.simulate.history import Deployment

Result = tuple["Deployment", Verdict | None]


def backtest(endpoint: PrometheusEndpoint, subject: Subject, spec: CanaryRolloutSpec, since: float, seed: int) -> list[Result]:
    """Every deployment of the last `since` seconds, oldest first. Raises PrometheusError."""
    return asyncio.run(_backtest(endpoint, subject, spec, since, seed))


async def _backtest(endpoint: PrometheusEndpoint, subject: Subject, spec: CanaryRolloutSpec, since: float, seed: int) -> list[Result]:
    client = PrometheusClient(endpoint)
    try:
        history = History(client, subject, spec, Shell())
        return [(found, await history.replay(found, seed)) for found in await history.deployments(since)]
    finally:
        await client.close()


def show(results: Sequence[Result], subject: Subject, since: float, *, as_json: bool) -> None:
    """Print them."""
    if as_json:
        typer.echo(json.dumps([_json(deployment, verdict) for deployment, verdict in results], indent=2))
        return
    typer.echo(f"Deployments of {subject.namespace}/{subject.service} in the last {spell_seconds(since)}: {len(results)}\n")
    if not results:
        return
    head = ("deployed (UTC)", "release", "after", "would have been", "when", "weight", "failed", "really failed")
    for line in table(head, [_row(deployment, verdict) for deployment, verdict in results]):
        typer.echo(line)
    typer.echo("")
    for deployment, verdict in results:
        if verdict is not None:
            typer.echo(f"{_time(verdict.begun)} {deployment.canary.name}: {verdict.explanation}")


def _row(deployment: "Deployment", verdict: Verdict | None) -> tuple[str, ...]:
    names = _time(deployment.begun), deployment.canary.name, deployment.stable.name
    if verdict is None:
        return *names, "not known any more", "-", "-", "-", "-"
    outcome = "still undecided" if verdict.outcome == "Unfinished" else WORDS[verdict.outcome]
    return (
        _time(verdict.begun),
        *names[1:],
        outcome,
        spell_seconds(verdict.seconds),
        f"{verdict.weight} %",
        f"{verdict.failed:,.0f}",
        f"{verdict.really_failed:,.0f}",
    )


def _json(deployment: "Deployment", verdict: Verdict | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "deployed": deployment.begun if verdict is None else verdict.begun,
        "workload": deployment.canary.workload,
        "version": deployment.canary.version,
        "after": {"workload": deployment.stable.workload, "version": deployment.stable.version},
    }
    if verdict is None:
        return {**found, "outcome": None}
    return {
        **found,
        "outcome": verdict.outcome,
        "seconds": verdict.seconds,
        "weight": verdict.weight,
        "explanation": verdict.explanation,
        "failedRequests": verdict.failed,
        "reallyFailedRequests": verdict.really_failed,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
