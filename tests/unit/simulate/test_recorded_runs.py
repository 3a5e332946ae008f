"""Rollouts of fixed seeds end as they ended when they were recorded.

The engine may become quicker; what it finds must not change by that. A change of the formulas, of the stakes or of the machine that is
meant to change the outcomes records them anew: python tests/unit/simulate/test_recorded_runs.py
"""

import json
from pathlib import Path
from typing import Any

import pytest
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.simulate.many import Run, run_one
from canaryrollout.simulate.replay import Shell
from canaryrollout.simulate.traffic import Traffic

RECORDED = Path(__file__).with_name("recorded_runs.json")
RUNS = 4

DEFAULT = CanaryRolloutSpec(service="reviews", version="v2")
DEMANDING = CanaryRolloutSpec.model_validate(
    {
        "service": "reviews",
        "version": "v2",
        "analysis": {"maxErrorRateIncrease": "2x", "warmup": "30s", "maxDuration": "10m", "onInconclusive": "rollback"},
        "steps": [{"weight": 10}, {"weight": 40, "analysis": {"maxP99Latency": "250ms"}}, {"weight": 100}],
    }
)
CASES = {
    "healthy": (DEFAULT, Traffic(rps=50)),
    "healthy, in clumps": (DEFAULT, Traffic(rps=500, canary_errors=0.001, stable_errors=0.001, burst=10, scrape_interval=5.0)),
    "half of it fails": (DEFAULT, Traffic(rps=50, canary_errors=0.5, scrape_interval=5.0)),
    "a twentieth fails": (DEFAULT, Traffic(rps=50, canary_errors=0.05, stable_errors=0.001)),
    "fails under load": (DEFAULT, Traffic(rps=300, canary_errors=0.3, fault_from_weight=25)),
    "both fail": (DEFAULT, Traffic(rps=100, shared_errors=0.05, shared_after=40.0)),
    "slower, and worse than stable": (
        DEMANDING,
        Traffic(rps=20, canary_errors=0.01, stable_errors=0.002, canary_slow=0.02, stable_slow=0.001),
    ),
    "thin": (DEMANDING, Traffic(rps=3, canary_errors=0.001, stable_errors=0.001)),
}


def ended(run: Run) -> list[Any]:
    """How a run ended, without words: outcome, weight, seconds, the canary's requests, failed ones, reason, seconds of each step."""
    seconds = [round(spent, 1) for _, spent in run.steps]
    return [run.outcome, run.weight, round(run.seconds, 1), run.requests, run.failed, run.reason, seconds]


def runs_of(name: str) -> list[list[Any]]:
    spec, traffic = CASES[name]
    return [ended(run_one(spec, traffic, Shell(), f"recorded/{index}")) for index in range(RUNS)]


@pytest.mark.parametrize("name", CASES)
def test_runs_end_as_recorded(name: str) -> None:
    assert runs_of(name) == json.loads(RECORDED.read_text())[name]


if __name__ == "__main__":
    lines = (f"  {json.dumps(name)}: [\n" + ",\n".join(f"    {json.dumps(run)}" for run in runs_of(name)) + "\n  ]" for name in CASES)
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
