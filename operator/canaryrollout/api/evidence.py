"""What the status remembers about the evidence: counts, running products, and what stable was like before the rollout.

About 1 KB for a rollout, and a tenth of that for each custom metric; with it, a restart, a replayed poll or a skipped one changes no
verdict. What follows from something else is left out: defaults, equal counts, and products on which nothing is staked at a list's end.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, SerializerFunctionWrapHandler, model_serializer, model_validator

from canaryrollout.api.model import StatusModel as Model

NO_STAKE = -99.0
"""ln of a running product on which nothing is staked yet; e^-99 is nothing beside any stake."""

NO_COMPARISON = 1e6
"""Stands for no limit at all on the multiple of stable's share, which JSON has no number for."""

Log = Annotated[float, Field(ge=NO_STAKE, le=1e6)]
ABSOLUTE_BETS = 7
RELATIVE_BETS = 7
CATASTROPHE_BETS = 4
MOST_COUNT = 2.0**53
Count = Annotated[float, Field(ge=0.0, le=MOST_COUNT)]


def _short(value: Any) -> Any:
    """Whole numbers without a decimal point."""
    if isinstance(value, list):
        return [_short(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= MOST_COUNT else value


def _padded(length: int) -> Callable[[Any], Any]:
    """Reads a list whose end was left out; what is no list is left to pydantic to refuse."""

    def padded(logs: Any) -> Any:
        return (*logs, *(NO_STAKE,) * (length - len(logs))) if isinstance(logs, list | tuple) else logs

    return padded


def _staked(logs: Sequence[float]) -> list[float]:
    """The logs up to the last on which anything is staked."""
    return [_short(log) for log in logs[: max((at for at, log in enumerate(logs, 1) if log > NO_STAKE), default=0)]]


_Trimmed = PlainSerializer(_staked, return_type=list[float | int])
AbsoluteLogs = Annotated[tuple[Log, ...], Field(max_length=ABSOLUTE_BETS), BeforeValidator(_padded(ABSOLUTE_BETS)), _Trimmed]
RelativeLogs = Annotated[tuple[Log, ...], Field(max_length=RELATIVE_BETS), BeforeValidator(_padded(RELATIVE_BETS)), _Trimmed]
CatastropheLogs = Annotated[tuple[Log, ...], Field(max_length=CATASTROPHE_BETS), BeforeValidator(_padded(CATASTROPHE_BETS)), _Trimmed]


class StatusModel(Model):
    """What equals its default is left out, which keeps the status small."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        kept = self._kept({name for name, field in fields.items() if getattr(self, name) != field.get_default()})
        aliases = {name: field.serialization_alias or field.alias or name for name, field in fields.items()}
        return {
            key: _short(value) for name in fields if name in kept for key in (aliases[name], name) if (value := dumped.get(key)) is not None
        }

    def _kept(self, different: set[str]) -> set[str]:
        """The fields to write, of which `different` differ from their defaults."""
        return different


class Tally(StatusModel):
    """Requests counted; `timed` is the denominator of `slow` and `notFast`. Without `total` all were timed, without `notFast` none
    but the slow ones are in doubt.
    """

    total: Count = Field(default=0.0, description="Left out where it equals timed.")
    errors: Count = 0.0
    timed: Count = 0.0
    slow: Count = Field(default=0.0, description="Certainly slower than the threshold.")
    not_fast: Count = Field(default=0.0, description="Not known to be faster than the threshold; left out where it equals slow.")

    @model_validator(mode="before")
    @classmethod
    def _with_what_follows(cls, given: Any) -> Any:
        """Without `total` all were timed. Older operators wrote every count but zeros: of them nothing else can be left out here."""
        if not isinstance(given, Mapping):
            return given
        found = dict(given)
        if "total" not in found and "timed" in found:
            found["total"] = found["timed"]
        if "slow" in found and not {"notFast", "not_fast"} & found.keys():
            found["not_fast"] = found["slow"]
        return found

    def _kept(self, different: set[str]) -> set[str]:
        kept = different - {"total"} if self.total == self.timed else different | {"total"}
        return kept - {"not_fast"} if self.not_fast == self.slow else kept | {"not_fast"}


class Trouble(StatusModel):
    """What has been counted since the canary last looked well: the window that an explanation speaks of."""

    score: Annotated[float, Field(ge=0.0, le=1e6)] = Field(default=0.0, description="Page's cumulative sum; 0: the canary looks well.")
    bad: Count = 0.0
    total: Count = 0.0
    stable_bad: Count = 0.0
    stable_total: Count = 0.0
    unattributed: Count = Field(default=0.0, description="Of the bad ones, errors without a workload.")
    aborted: Count = Field(default=0.0, description="Besides the bad ones, requests to the canary whose client gave up.")
    recent: Annotated[tuple[Count, ...], Field(min_length=4, max_length=4)] = Field(
        default=(0.0,) * 4, description="The same four counts, fading within about a minute: whether stable shares the trouble now."
    )


class ReporterEvidence(StatusModel):
    """One reporter's view. Logs are ln of the running products against the canary, one per alternative rate."""

    errors: AbsoluteLogs = (NO_STAKE,) * ABSOLUTE_BETS
    errors_relative: RelativeLogs = (NO_STAKE,) * RELATIVE_BETS
    catastrophe: CatastropheLogs = (NO_STAKE,) * CATASTROPHE_BETS
    slow: AbsoluteLogs = (NO_STAKE,) * ABSOLUTE_BETS
    slow_relative: RelativeLogs = (NO_STAKE,) * RELATIVE_BETS
    canary: Tally = Field(default=Tally(), description="The canary in the whole rollout.")
    stable: Tally = Field(default=Tally(), description="Stable in the whole rollout.")
    aborted: Count = Field(default=0.0, description="Requests to the canary whose client gave up.")
    unattributed: Count = Field(default=0.0, description="Errors without a workload that were charged to the canary.")
    lost: Count = Field(default=0.0, description="Errors without a workload since this step's proof, beyond those of the hour before.")
    charged: Count = Field(default=0.0, description="Of those, the ones charged to the canary.")
    proved_stable: Count = Field(default=0.0, description="Stable's requests since this step's proof.")
    step: Count = Field(default=0.0, description="The canary's requests in this step, before its proof too.")
    step_stable: Count = 0.0
    passed: Tally = Field(default=Tally(), description="The canary in the observed time of earlier steps.")
    passing: Tally = Field(default=Tally(), description="The canary since this step's proof.")
    errors_trouble: Trouble = Trouble()
    latency_trouble: Trouble = Trouble()


class CustomEvidence(StatusModel):
    """What a custom metric has shown."""

    name: Annotated[str, Field(max_length=40)]
    digest: Annotated[str, Field(max_length=16)] = Field(default="", description="Of its queries and limits: others begin anew.")
    ratio: bool = True
    logs: AbsoluteLogs = (NO_STAKE,) * ABSOLUTE_BETS
    bad: Count = 0.0
    total: Count = 0.0
    passed_bad: Count = Field(default=0.0, description="In the observed time of earlier steps.")
    passed_total: Count = 0.0
    passing_bad: Count = Field(default=0.0, description="Since this step's proof.")
    passing_total: Count = 0.0
    value: float | None = Field(default=None, description="The latest value.")
    valued_at: float | None = Field(default=None, description="Its Prometheus time.")
    outside: Annotated[int, Field(ge=0)] = Field(default=0, description="Scrapes in a row in which the value was outside its bounds.")
    inside: Annotated[int, Field(ge=0)] = Field(default=0, description="Scrapes since this step's proof in which it was inside.")


class EvidenceState(StatusModel):
    """All that must survive a restart."""

    cursor: float | None = Field(default=None, description="Prometheus time up to which everything is counted.")
    weight_since: float | None = Field(default=None, description="Prometheus time from which the canary has had weight.")
    cash: Annotated[float, Field(ge=0.0, le=1.0)] = Field(default=1.0, description="The part of the stake that is not placed yet.")
    latency: float | None = Field(default=None, description="Seconds; the threshold by which slow requests were counted.")
    max_error_rate: float | None = Field(default=None, description="The limit that the evidence was bet against.")
    max_increase: Annotated[float, Field(ge=0.0, le=NO_COMPARISON)] | None = Field(
        default=None, description="The multiple of stable's share that it was bet against; 1,000,000 where stable is not compared with."
    )
    source: ReporterEvidence = ReporterEvidence()
    destination: ReporterEvidence = ReporterEvidence()
    custom: Annotated[tuple[CustomEvidence, ...], Field(max_length=8)] = ()


class ReporterBaseline(StatusModel):
    """What one reporter has counted of stable in the baseline's span."""

    requests: Count = 0.0
    errors: Count = 0.0
    timed: Count = 0.0
    not_fast: Count = 0.0
    error_burst: Annotated[float, Field(ge=0.0, le=1e6)] = Field(
        default=1.0, description="Pearson's chi squared per degree of freedom of the errors: about the size of the clumps they come in."
    )
    slow_burst: Annotated[float, Field(ge=0.0, le=1e6)] = Field(default=1.0, description="The same of slow requests.")


class Baseline(StatusModel):
    """What stable was like before the rollout, usually in the hour before."""

    seconds: Annotated[float, Field(ge=0.0)] = Field(default=0.0, description="The span; shorter where there is less history.")
    requests_per_second: Annotated[float, Field(ge=0.0)] = Field(
        default=0.0, description="Requests to stable in its last minute, as the reporter saw it that saw most."
    )
    scrape_interval: float | None = Field(default=None, description="Seconds, as measured; None: too few samples.")
    unattributed: Count = Field(default=0.0, description="Errors of the service that no workload answered.")
    edges: Annotated[tuple[float, ...], Field(max_length=64)] = Field(
        default=(), description="Edges of the duration histogram in milliseconds."
    )
    source: ReporterBaseline | None = Field(default=None, description="As callers saw it; None: callers report nothing.")
    destination: ReporterBaseline | None = Field(default=None, description="As the pods saw it; None: they report nothing.")
