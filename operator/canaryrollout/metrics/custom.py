"""Custom metrics as they are written, by users and by the operator's admin, and as they are asked."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from canaryrollout.api.analysis import CustomMetric
from canaryrollout.api.model import Model
from canaryrollout.api.quantities import Number, Ratio
from canaryrollout.core.snapshot import CustomMetricQuery, Problem
from canaryrollout.metrics import placeholders

Query = Annotated[str, Field(min_length=1, max_length=16_384)]


class TemplatesError(ValueError):
    """The file of templates cannot be meant; the text says where and why."""


def _percentage(value: object) -> object:
    if value is not None and not isinstance(value, str):
        raise ValueError('write a percentage in quotes, such as "1%"')
    return value


def _decimal(value: object) -> object:
    # Helm writes a million as 1e+06, which YAML 1.1 reads as a string.
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


_Limit = Annotated[Number | None, BeforeValidator(_decimal)]


class Template(Model):
    """A metric that the operator's admin has defined: bad and total with perhaps a maxRate, or value with perhaps min and max."""

    description: str = ""
    bad: Query | None = None
    total: Query | None = None
    max_rate: Annotated[Ratio | None, BeforeValidator(_percentage)] = None
    value: Query | None = None
    min: _Limit = None
    max: _Limit = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        ratio = self.bad is not None and self.total is not None and self.value is None
        value = self.value is not None and self.bad is None and self.total is None
        if not (ratio or value):
            raise ValueError("give it either bad and total, or value")
        if not all(math.isfinite(limit) for limit in (self.min, self.max) if limit is not None):
            raise ValueError("min and max must be finite")
        if flaw := _flaw(self.query("")):
            raise ValueError(flaw)
        return self

    def query(self, name: str) -> CustomMetricQuery:
        """With the template's own limits."""
        queries = {"bad": self.bad or "", "total": self.total or "", "value": self.value or ""}
        return CustomMetricQuery(name=name, **queries, max_rate=self.max_rate, minimum=self.min, maximum=self.max)


Templates = Mapping[str, Template]
_Name = Annotated[str, Field(min_length=1, max_length=63)]
_TEMPLATES: TypeAdapter[dict[_Name, Template]] = TypeAdapter(dict[_Name, Template])


def read_templates(path: Path | None) -> Templates:
    """The templates of a YAML file, by name; none without a file. Raises TemplatesError."""
    if path is None:
        return {}
    try:
        found: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _TEMPLATES.validate_python(found or {})
    except ValidationError as error:
        item = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in item["loc"] if part != "[key]")
        raise TemplatesError(f"{path}: {where}: {item['msg'].removeprefix('Value error, ')}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TemplatesError(f"{path} cannot be read: {error}") from None


def resolve(metrics: Iterable[CustomMetric], templates: Templates, allow_custom: bool) -> tuple[CustomMetricQuery, ...] | Problem:
    """What to ask for each metric; a Problem that names the first that cannot be asked, and what to change."""
    resolved = []
    for metric in metrics:
        found = _resolve(metric, templates, allow_custom)
        if isinstance(found, Problem):
            return found
        resolved.append(found)
    return tuple(resolved)


def _resolve(metric: CustomMetric, templates: Templates, allow_custom: bool) -> CustomMetricQuery | Problem:
    query = _written(metric)
    if metric.template is not None:
        template = templates.get(metric.template)
        if template is None:
            said = f"metric {metric.name!r} wants the template {metric.template!r}, which does not exist; {_known(templates)}"
            return Problem("MetricTemplateUnknown", said)
        query = _with_limits(template.query(metric.name), metric)
    elif not allow_custom:
        said = (
            f"metric {metric.name!r} brings queries of its own, which the operator's admin has not allowed "
            f"(--metrics-allow-custom-queries): take a template instead; {_known(templates)}"
        )
        return Problem("CustomQueriesDisabled", said)
    flaw = _flaw(query) or _missing_limit(query)
    return Problem("CustomMetricUnusable", f"metric {metric.name!r}: {flaw}") if flaw else query


def _written(metric: CustomMetric) -> CustomMetricQuery:
    bad, total = (metric.ratio.bad, metric.ratio.total) if metric.ratio is not None else ("", "")
    return _with_limits(CustomMetricQuery(name=metric.name, bad=bad, total=total, value=metric.value or ""), metric)


def _with_limits(query: CustomMetricQuery, metric: CustomMetric) -> CustomMetricQuery:
    return replace(
        query,
        max_rate=query.max_rate if metric.max_rate is None else metric.max_rate,
        minimum=query.minimum if metric.min is None else metric.min,
        maximum=query.maximum if metric.max is None else metric.max,
    )


def _flaw(query: CustomMetricQuery) -> str:
    """What cannot be meant; empty where nothing is."""
    if query.value and query.max_rate is not None:
        return "a value takes min and max, not maxRate"
    if not query.value and (query.minimum is not None or query.maximum is not None):
        return "a ratio takes maxRate, not min and max"
    if query.minimum is not None and query.maximum is not None and query.minimum > query.maximum:
        return "min is above max"
    return next(filter(None, map(placeholders.mistakes, (query.bad, query.total, query.value))), "")


def _missing_limit(query: CustomMetricQuery) -> str:
    if query.value:
        return "" if query.minimum is not None or query.maximum is not None else "neither it nor its template has min or max"
    return "" if query.max_rate is not None else "neither it nor its template has maxRate"


def _known(templates: Templates) -> str:
    return f"there are {', '.join(sorted(templates))}" if templates else "none is defined"
