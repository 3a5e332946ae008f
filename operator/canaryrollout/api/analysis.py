"""What a user writes about the analysis: limits, how much evidence a step needs, and what no evidence means."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from canaryrollout.api.model import Model
from canaryrollout.api.quantities import Duration, Multiple, Number, PositiveDuration, Ratio

MetricName = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
PromQL = Annotated[str, Field(min_length=1, max_length=2048)]
Policy = Literal["pause", "rollback", "promote"]


def _sure_enough(fraction: float) -> float:
    if not 0.5 <= fraction < 1.0:
        raise ValueError("confidence must be at least 50% and below 100%: write for example 95%")
    return fraction


Confidence = Annotated[
    Ratio,
    AfterValidator(_sure_enough),
    WithJsonSchema({"type": "string", "pattern": r"^[5-9][0-9]([.][0-9]{1,6})?%$", "maxLength": 16}),
]

_ONE_SOURCE: Any = {
    "rule": "[has(self.template), has(self.ratio), has(self.value)].filter(given, given).size() == 1",
    "message": "give a metric exactly one of template, ratio and value",
}
_RATIO_LIMIT: Any = {"rule": "!has(self.ratio) || has(self.maxRate)", "message": "a ratio needs maxRate, such as 1%"}
_VALUE_LIMIT: Any = {"rule": "!has(self.value) || has(self.min) || has(self.max)", "message": "a value needs min, max or both"}
_DURATIONS_ORDERED: Any = {
    "rule": "!has(self.minDuration) || !has(self.maxDuration) || duration(self.minDuration) <= duration(self.maxDuration)",
    "message": "maxDuration must not be shorter than minDuration",
}


class RatioQueries(Model):
    """Two counts of the canary in a slice of time, by PromQL with placeholders."""

    bad: PromQL = Field(description="How many were bad.")
    total: PromQL = Field(description="How many there were.")


class CustomMetric(Model):
    """A metric besides Istio's own. Own queries have to be allowed by the operator's admin; templates are defined by them."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [_ONE_SOURCE, _RATIO_LIMIT, _VALUE_LIMIT]})

    name: MetricName = Field(description="Its name in status and Events.")
    template: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None, description="Name of a template that the operator's admin has defined."
    )
    ratio: RatioQueries | None = Field(default=None, description="Bad of total, judged like the error rate.")
    value: PromQL | None = Field(default=None, description="One number, to be kept within min and max.")
    max_rate: Ratio | None = Field(default=None, description="Upper limit of bad/total; overrides the template's.")
    min: Number | None = Field(default=None, description="Least value; overrides the template's.")
    max: Number | None = Field(default=None, description="Greatest value; overrides the template's.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if sum(source is not None for source in (self.template, self.ratio, self.value)) != 1:
            raise ValueError(str(_ONE_SOURCE["message"]))
        if self.ratio is not None and self.max_rate is None:
            raise ValueError(str(_RATIO_LIMIT["message"]))
        if self.value is not None and self.min is None and self.max is None:
            raise ValueError(str(_VALUE_LIMIT["message"]))
        return self


class Analysis(Model):
    """When the canary counts as healthy: limits, how much evidence a step needs, and what no evidence means."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [_DURATIONS_ORDERED]})

    max_error_rate: Ratio = Field(default="1%", validate_default=True, description="Upper limit of the share of failed requests.")
    max_p99_latency: PositiveDuration = Field(
        default="500ms",
        validate_default=True,
        description="99 % of the canary's requests must be faster than this. Best on an edge of Istio's histogram.",
    )
    max_error_rate_increase: Multiple = Field(
        default="2x",
        validate_default=True,
        description="How many times stable's share of failed (and of slow) requests the canary's may be; off: do not compare.",
    )
    relative_floor: Ratio = Field(
        default="0.25%", validate_default=True, description="A share below this is never too much, however little stable shows."
    )
    abort_error_rate: Ratio = Field(
        default="20%", validate_default=True, description="A share of failed requests above this is found out fastest of all."
    )
    confidence: Confidence = Field(
        default="95%",
        validate_default=True,
        description="How sure it must be that the canary is below its limits before a step passes; at least 50%.",
    )
    min_requests: int = Field(default=100, ge=1, le=1_000_000, description="Canary requests that a step must have seen before it can pass.")
    min_duration: Duration = Field(
        default="10s", validate_default=True, description="Shortest observation of a step, counted from the proof of its weights."
    )
    max_duration: PositiveDuration = Field(
        default="1h", validate_default=True, description="Longest observation of a step; then it is inconclusive."
    )
    warmup: Duration = Field(
        default="0s",
        validate_default=True,
        description="For so long after the canary's first weight its slow requests count neither for nor against it (cold caches).",
    )
    on_inconclusive: Policy = Field(default="pause", description="What to do when a step has found no verdict within maxDuration.")
    on_shared_failure: Literal["pause", "rollback"] = Field(
        default="rollback", description="What to do when the canary breaches a limit and stable does no better."
    )
    metrics: Annotated[tuple[CustomMetric, ...], Field(max_length=8)] = Field(
        default=(),
        description="Metrics besides Istio's own.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_duration > self.max_duration:
            raise ValueError(str(_DURATIONS_ORDERED["message"]))
        return self


class AnalysisOverrides(Model):
    """What one step has otherwise than spec.analysis."""

    max_error_rate: Ratio | None = None
    max_p99_latency: PositiveDuration | None = None
    max_error_rate_increase: Multiple | None = None
    relative_floor: Ratio | None = None
    abort_error_rate: Ratio | None = None
    confidence: Confidence | None = None
    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    min_duration: Duration | None = None
    max_duration: PositiveDuration | None = None
    on_inconclusive: Policy | None = None
    on_shared_failure: Literal["pause", "rollback"] | None = None

    def applied_to(self, analysis: Analysis) -> Analysis:
        """The analysis of this step."""
        given = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        return analysis.model_copy(update=given) if given else analysis
