"""What a step has otherwise than spec.analysis."""

from typing import Any

import pytest
from canaryrollout.api.spec import CanaryRolloutSpec


@pytest.mark.parametrize(
    ("step", "durations"),
    [
        ({}, (10.0, 60.0)),
        ({"minDuration": "5m"}, (300.0, 300.0)),
        ({"analysis": {"minDuration": "5m"}}, (300.0, 300.0)),
        ({"analysis": {"maxDuration": "5s"}}, (10.0, 10.0)),
        ({"analysis": {"minDuration": "2m", "maxDuration": "3m"}}, (120.0, 180.0)),
        ({"minDuration": "1m", "analysis": {"minDuration": "2m", "maxDuration": "90s"}}, (60.0, 90.0)),
    ],
)
def test_a_step_never_has_less_time_than_it_must_last(step: dict[str, Any], durations: tuple[float, float]) -> None:
    steps = [{"weight": 5, **step}, {"weight": 100}]
    spec = CanaryRolloutSpec.model_validate({"service": "reviews", "version": "v2", "analysis": {"maxDuration": "1m"}, "steps": steps})
    analysis = spec.analysis_at(5)
    assert (analysis.min_duration, analysis.max_duration) == durations
    assert spec.analysis_at(100) == spec.analysis
