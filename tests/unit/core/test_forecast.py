"""What is said before the first weight: how long it will take, and what is wrong with the data."""

from typing import Any

import pytest
from canaryrollout.api.evidence import Baseline, ReporterBaseline
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Phase
from canaryrollout.core.forecast import Given, forecast, notices, told
from world import adopted

EDGES = (100.0, 250.0, 500.0, 1000.0)


def baseline(rps: float = 50.0, share: float = 0.0, **more: Any) -> Baseline:
    requests = rps * 3600
    view = ReporterBaseline(requests=requests, errors=requests * share, timed=requests, **more.pop("view", {}))
    return Baseline(**{"seconds": 3600, "scrape_interval": 5.0, "edges": EDGES, "source": view, "destination": view, **more})


def given(before: Baseline, *first: dict[str, Any], **analysis: Any) -> Given:
    """With limits of its own for the first step (5 %), where they are given."""
    spec: dict[str, Any] = {"service": "reviews", "version": "v2", "analysis": analysis}
    if first:
        spec["steps"] = [{"weight": 5, "analysis": first[0]}, {"weight": 100}]
    return Given(CanaryRolloutSpec.model_validate(spec), before, scrape_interval=5.0)


def reasons(before: Baseline, **analysis: Any) -> list[str]:
    return [notice.reason for notice in notices(given(before, **analysis))]


def test_a_sound_service_has_nothing_to_be_told_but_the_time() -> None:
    assert reasons(baseline(share=0.001)) == []
    assert told(given(baseline())).startswith("at 50 requests/s: 5 % in about 2m4")


def test_the_first_step_needs_the_whole_evidence_and_the_others_a_part_of_it_anew() -> None:
    seconds = {step.weight: step.seconds or 0.0 for step in forecast(given(baseline()))}
    assert seconds[5] == pytest.approx(380 / 2.5 + 12, abs=1)
    assert 160 / 5 + 12 < seconds[10] < 190 / 5 + 12


def test_little_traffic_is_said_in_minutes() -> None:
    said = {notice.reason: notice.message for notice in notices(given(baseline(rps=2.0)))}
    assert said["TooLittleTraffic"].startswith("at 2 requests/s the 5 % step needs about 1h4m, longer than maxDuration 1h")


def test_the_present_traffic_counts_more_than_the_hours_mean() -> None:
    assert told(given(baseline(rps=50.0, requests_per_second=300.0))).startswith("at 300 requests/s: 5 % in about 35s")


def test_right_after_the_first_requests_no_time_is_foretold() -> None:
    """A series that is new to Prometheus brings all its past requests at once, and would promise any pace."""
    new = given(baseline(seconds=15, requests_per_second=12_000.0))
    assert told(new) == "Prometheus knows stable's requests for 15s only: how long the steps take cannot be told"
    assert forecast(new) == ()
    assert "TooLittleTraffic" not in reasons(baseline(seconds=15, requests_per_second=0.01))
    assert told(given(baseline(seconds=60, requests_per_second=50.0))).startswith("at 50 requests/s")


def test_without_history_no_time_is_foretold() -> None:
    assert reasons(Baseline()) == ["NoHistory"]
    assert "cannot be told" in told(given(Baseline()))


def test_a_silent_reporter_is_named() -> None:
    assert reasons(baseline(source=None)) == ["CallersNotSeen"]
    assert reasons(baseline(destination=None)) == ["PodsNotSeen"]


def test_a_stable_near_or_above_the_limit_is_named() -> None:
    near = {n.reason: n.message for n in notices(given(baseline(share=0.006)))}
    assert "stable itself fails 0.6 % of its requests, above half the limit of 1 %" in near["StableNearLimit"]
    above = given(baseline(share=0.012))
    assert "above the limit of 1 %" in notices(above)[0].message
    assert all(step.seconds is None for step in forecast(above))
    assert "5 % never" in told(above)


@pytest.mark.parametrize(
    ("threshold", "reason", "hint"),
    [
        ("300ms", "LatencyBetweenBuckets", "only above 500ms, as fast only below 250ms; write 250ms or 500ms"),
        ("2s", "LatencyBeyondBuckets", "above the histogram's last edge"),
        ("10ms", "LatencyBetweenBuckets", "only above 100ms"),
    ],
)
def test_a_threshold_off_the_edges_is_named_with_the_nearest_ones(threshold: str, reason: str, hint: str) -> None:
    (notice,) = notices(given(baseline(), maxP99Latency=threshold))
    assert notice.reason == reason
    assert hint in notice.message


def test_a_threshold_of_one_step_off_the_edges_is_named_with_the_step() -> None:
    (notice,) = notices(given(baseline(), {"maxP99Latency": "300ms"}))
    assert notice.message.startswith("maxP99Latency 300ms at the 5 % step is no edge of the duration histogram")


def test_a_stable_above_the_limit_of_one_step_is_named_with_the_step() -> None:
    strict = given(baseline(share=0.002), {"maxErrorRate": "0.2%"})
    assert told(strict).startswith("at 50 requests/s: 5 % never, 100 % in about")
    (notice,) = notices(strict)
    assert notice.message.startswith("stable itself fails 0.2 % of its requests, above the limit of 0.2 % at the 5 % step")


def test_slow_requests_by_the_limit_of_the_spec_say_nothing_about_a_step_with_another_one() -> None:
    slow = baseline(view={"not_fast": 180_000 * 0.03})
    assert told(given(slow, {"maxP99Latency": "1s"}, maxP99Latency="100ms")).startswith("at 50 requests/s: 5 % in about 2m4")
    own = CanaryRolloutSpec.model_validate(
        {
            "service": "reviews",
            "version": "v2",
            "analysis": {"maxP99Latency": "100ms"},
            "steps": [{"weight": weight, "analysis": {"maxP99Latency": "1s"}} for weight in (5, 100)],
        }
    )
    assert notices(Given(own, slow, scrape_interval=5.0)) == ()


def test_a_scrape_interval_other_than_configured_is_named() -> None:
    assert reasons(baseline(scrape_interval=30.0)) == ["ScrapeInterval"]


def test_errors_in_clumps_and_errors_that_reach_no_pod_are_named() -> None:
    assert "ErrorsInClumps" in reasons(baseline(share=0.001, view={"error_burst": 8.0}))
    assert reasons(baseline(unattributed=4.0)) == ["ErrorsWithoutWorkload"]


def test_the_forecast_is_told_once_as_an_event_and_kept_in_the_status() -> None:
    world = adopted(baseline=baseline(scrape_interval=30.0)).release("v2").run_to(Phase.ANALYSING)
    told_events = [event for event in world.events if event.reason in ("Forecast", "ScrapeInterval")]
    assert [event.reason for event in told_events] == ["Forecast", "ScrapeInterval"]
    rollout = world.parsed.rollout
    assert rollout is not None
    assert rollout.forecast == told_events[0].message
    assert [notice.reason for notice in rollout.notices] == ["ScrapeInterval"]
