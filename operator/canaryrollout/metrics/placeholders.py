"""What stands for a rollout's names in the PromQL of custom metrics."""

import re

from canaryrollout.metrics import promql
from canaryrollout.metrics.provider import Question

NAMES = ("namespace", "service", "canary", "stable", "canary_workloads", "stable_workloads", "interval")

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


class MissingValue(ValueError):
    """A placeholder for which the rollout has no value; the text says which."""


def mistakes(query: str) -> str:
    """What is wrong with the placeholders of a query; empty where nothing is."""
    known = ", ".join(f"{{{{{name}}}}}" for name in NAMES)
    for found in _PLACEHOLDER.findall(query):
        if found.strip() not in NAMES:
            return f"there is no placeholder {{{{{found.strip()}}}}}; there are {known}"
    rest = _PLACEHOLDER.sub("", query)
    return f"a placeholder is not closed; there are {known}" if "{{" in rest or "}}" in rest else ""


def fill(query: str, question: Question, length: int) -> str:
    """The query for slices of `length` milliseconds. Raises MissingValue.

    The values of {{namespace}}, {{service}}, {{canary}} and {{stable}} (the versions) stand inside a string literal of PromQL,
    those of {{canary_workloads}} and {{stable_workloads}} inside one to the right of =~.
    """
    values = {
        "namespace": promql.escape(question.namespace),
        "service": promql.escape(question.service),
        "canary": promql.escape(question.canary_version),
        "stable": promql.escape(question.stable_version),
        "canary_workloads": promql.escape(promql.alternation(question.canary_workloads)),
        "stable_workloads": promql.escape(promql.alternation(question.stable_workloads)),
        "interval": promql.duration(length),
    }

    def value(match: re.Match[str]) -> str:
        name = match[1].strip()
        if not values[name]:  # would match every series without the label
            raise MissingValue(f"nothing is known yet to put for {{{{{name}}}}}")
        return values[name]

    return _PLACEHOLDER.sub(value, query)
