"""How large the evidence in the status of a whole rollout gets."""

import json

import pytest
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus
from canaryrollout.simulate.many import run_one
from canaryrollout.simulate.replay import Shell
from canaryrollout.simulate.traffic import Traffic

SPEC = CanaryRolloutSpec(service="reviews", version="v2")


def sizes(traffic: Traffic) -> list[int]:
    """Bytes of the evidence, as JSON without blanks, after each pass of a rollout that is promoted."""
    found: list[int] = []

    def watch(_: float, status: CanaryRolloutStatus) -> None:
        if status.rollout is not None and status.rollout.evidence is not None:
            evidence = status.rollout.evidence.model_dump(mode="json", by_alias=True, exclude_none=True)
            found.append(len(json.dumps(evidence, separators=(",", ":"))))

    assert run_one(SPEC, traffic, Shell(), "size/1", watch).outcome == "Promoted"
    return found


@pytest.mark.parametrize("rps", [50.0, 500.0])
@pytest.mark.parametrize("faults", [0.0, 0.001])
def test_the_evidence_of_both_reporters_takes_about_one_kilobyte(rps: float, faults: float) -> None:
    traffic = Traffic(rps=rps, canary_errors=faults, stable_errors=faults, canary_slow=faults, stable_slow=faults)
    found = sizes(traffic)
    assert found[-1] <= 1100
    assert max(found) <= 1250
