"""One pass over one object: the intent is stored first, conflicts are read again, what cannot be read is not overwritten."""

import copy
import time
from types import SimpleNamespace

import pytest
from canaryrollout.api.evidence import Baseline, ReporterBaseline
from canaryrollout.controller import observe, workqueue
from canaryrollout.controller.cluster import FINALIZER
from canaryrollout.controller.observe import GAP_SECONDS
from canaryrollout.controller.reconciler import CONFLICT_RETRY_SECONDS, Key
from canaryrollout.core.machine import MachineSettings
from canaryrollout.core.snapshot import ProxyState
from canaryrollout.kube.errors import ApiError, Forbidden, Invalid, Unavailable
from canaryrollout.kube.resources import CANARYROLLOUTS, DESTINATIONRULES, PODS, VIRTUALSERVICES
from canaryrollout.metrics.baseline import SLICE_MS
from canaryrollout.settings import PrometheusSettings
from memory_api import NAMESPACE, pod
from reconciling import Operator, analysing, condition, rolling_out, stable


async def test_the_intent_is_stored_then_the_finalizer_held_then_the_mesh_written() -> None:
    operator = await rolling_out()
    events = ["create", "create"]  # of the start, and of a canary with a single pod
    assert [verb for verb, _, _ in operator.api.calls] == ["replace_status", "merge_patch", "json_patch", *events]
    assert operator.raw["metadata"]["finalizers"] == [FINALIZER]


async def test_nothing_is_touched_where_the_intent_could_not_be_stored() -> None:
    operator = await stable()
    operator.api.put(PODS, pod("reviews-v2-a", "v2"))
    operator.edit(version="v2")

    def edited(verb: str, plural: str, name: str) -> None:
        if verb == "replace_status":
            operator.edit(paused=True)

    operator.api.before = edited
    assert await operator.passes(1) == CONFLICT_RETRY_SECONDS
    assert [verb for verb, _, _ in operator.api.calls] == ["replace_status"]
    assert operator.phase == "Stable"


@pytest.mark.parametrize("verb", ["merge_patch", "json_patch"])
async def test_a_write_that_fails_is_made_by_the_next_pass(verb: str) -> None:
    operator = await stable()
    operator.api.put(PODS, pod("reviews-v2-a", "v2"))
    operator.edit(version="v2")

    def away(called: str, plural: str, name: str) -> None:
        if called == verb:
            raise Unavailable(503, "ServiceUnavailable", "away")

    operator.api.before = away
    with pytest.raises(Unavailable):
        await operator.passes(1)
    assert (operator.phase, len(operator.api.find(DESTINATIONRULES, "reviews")["spec"]["subsets"])) == ("Preparing", 1)
    operator.api.before = lambda *_: None
    operator.restart()
    await operator.passes(1)
    assert operator.raw["metadata"]["finalizers"] == [FINALIZER]
    assert len(operator.api.find(DESTINATIONRULES, "reviews")["spec"]["subsets"]) == 2


@pytest.mark.parametrize(
    "error", [Forbidden(403, "Forbidden", "destinationrules is forbidden"), Invalid(422, "Invalid", "denied by policy")]
)
async def test_a_write_that_is_refused_shows_on_the_object_until_it_is_allowed(error: ApiError) -> None:
    operator = await stable()
    operator.api.put(PODS, pod("reviews-v2-a", "v2"))
    operator.edit(version="v2")

    def refuse(called: str, plural: str, name: str) -> None:
        if called == "json_patch":
            raise error

    operator.api.before = refuse
    for _ in range(2):
        with pytest.raises(type(error)):
            await operator.passes(1)
    assert error.message in operator.raw["status"]["message"]
    assert condition(operator, "Ready")["reason"] == "WriteRefused"
    operator.api.before = lambda *_: None
    await operator.passes(1)
    assert len(operator.api.find(DESTINATIONRULES, "reviews")["spec"]["subsets"]) == 2


async def test_a_status_that_cannot_be_read_is_never_overwritten_and_nothing_is_touched() -> None:
    operator = await rolling_out()
    item = copy.deepcopy(operator.raw)
    for broken in ({"phase": "Flying"}, {**item["status"], "rollout": {**item["status"]["rollout"], "step": {"index": "first"}}}):
        before = operator.api.put(CANARYROLLOUTS, {**item, "status": broken})
        operator.api.calls.clear()
        assert await operator.passes(1) == MachineSettings().retry_interval
        assert (operator.raw, operator.api.calls) == (before, [])


async def test_a_spec_that_cannot_be_read_is_refused_with_the_field_and_touches_nothing() -> None:
    operator = await stable()
    operator.edit(analysis={"maxErrorRate": "many"})
    operator.api.calls.clear()
    assert await operator.passes(1) is None
    assert [verb for verb, _, _ in operator.api.calls] == ["replace_status"]
    stalled = next(c for c in operator.raw["status"]["conditions"] if c["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "InvalidSpec")
    assert stalled["message"].startswith("spec.analysis.maxErrorRate: 'many' is not a percentage")
    assert operator.phase == "Stable"


async def test_a_pass_that_finds_nothing_new_writes_nothing() -> None:
    operator = await stable()
    assert await operator.passes(3) is None
    assert operator.api.calls == []


async def test_an_object_that_is_gone_ends_its_passes() -> None:
    operator = await rolling_out()
    operator.api.objects.pop((CANARYROLLOUTS.plural, NAMESPACE, "reviews"))
    operator.api.calls.clear()
    assert await operator.passes(1) is None
    assert operator.api.calls == []


async def test_istio_objects_that_may_not_be_read_are_neither_made_again_nor_patched() -> None:
    operator = await rolling_out()

    def unreadable(verb: str, plural: str, name: str) -> None:
        if verb == "list" and plural in (VIRTUALSERVICES.plural, DESTINATIONRULES.plural):
            raise Forbidden(403, "Forbidden", "no")

    operator.api.before = unreadable
    operator.api.calls.clear()
    await operator.passes(3)
    assert {plural for _, plural, _ in operator.api.calls} <= {"canaryrollouts", "events"}
    assert "may not read Istio objects" in operator.raw["status"]["message"]


async def test_the_younger_of_two_for_one_service_waits_without_touching_anything() -> None:
    operator = Operator()
    younger = copy.deepcopy(operator.raw)
    younger["metadata"] |= {"name": "second", "uid": "uid-second", "creationTimestamp": "2024-01-02T00:00:00Z"}
    operator.api.put(CANARYROLLOUTS, younger)
    await operator.reconciler.reconcile(Key(NAMESPACE, "second"))
    status = operator.api.find(CANARYROLLOUTS, "second")["status"]
    assert (status["phase"], status["conditions"][0]["reason"]) == ("Pending", "ServiceClaimed")
    assert "'reviews' already manages" in status["message"]


async def test_the_proxies_get_their_whole_time_after_the_operator_was_away() -> None:
    operator = await rolling_out()
    operator.mesh.state = ProxyState.PENDING
    await operator.passes(2)
    operator.api.time += 3600
    operator.restart()
    await operator.passes(30)
    assert operator.phase == "Preparing"
    await operator.passes(60)
    assert operator.phase == "RollingBack"


async def test_a_gap_between_two_looks_is_time_in_which_nobody_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = await rolling_out()
    operator.mesh.state = ProxyState.PENDING
    await operator.passes(2)
    operator.api.time += 3600
    later = time.monotonic() + GAP_SECONDS + 1
    monkeypatch.setattr(observe, "time", SimpleNamespace(monotonic=lambda: later))
    await operator.passes(30)
    assert operator.phase == "Preparing"


async def test_a_version_label_edited_in_mid_rollout_takes_no_pods_away() -> None:
    operator = await rolling_out()
    operator.edit(versionLabel="release")
    await operator.passes(1)
    assert operator.mesh.questions[-1].canary_workloads == ("reviews-v2",)


async def test_the_provider_is_asked_once_per_interval_however_many_passes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = await rolling_out()
    now = time.monotonic()
    monkeypatch.setattr(observe, "time", SimpleNamespace(monotonic=lambda: now))
    await operator.passes(5)
    assert len(operator.mesh.questions) == 1
    now += MachineSettings().poll_interval
    await operator.passes(5)
    assert len(operator.mesh.questions) == 2


async def test_the_exported_evidence_is_that_of_the_verdict_custom_metrics_included() -> None:
    operator = await analysing()
    operator.edit(analysis={"metrics": [{"name": "orders", "ratio": {"bad": "failed{{canary}}", "total": "all"}, "maxRate": "1%"}]})
    operator.mesh.errors = 0.01
    await operator.polls(3)
    (family,) = [found for found in operator.metrics.registry.collect() if found.name == "canaryrollout_analysis_evidence"]
    shown = {sample.labels["test"]: sample.value for sample in family.samples}
    assert shown["custom/orders"] > 0.0


async def test_a_custom_metric_without_its_template_holds_the_step_and_keeps_no_other_from_being_judged() -> None:
    operator = await analysing()
    own = {"name": "orders", "ratio": {"bad": "failed{{canary}}", "total": "all"}, "maxRate": "1%"}
    operator.edit(analysis={"metrics": [{"name": "queue", "template": "gone"}, own]})
    await operator.polls(1)
    assert [query.name for query in operator.mesh.questions[-1].metrics] == ["orders"]
    assert condition(operator, "Ready")["reason"] == "MetricTemplateUnknown"
    assert operator.phase == "Analysing"


def test_a_look_is_not_forgotten_between_two_tries_of_a_failing_pass() -> None:
    """Else no sync.timeout would ever end: each look would begin to watch anew."""
    assert workqueue.LAST_RETRY_SECONDS + 2 * PrometheusSettings(url="http://prometheus").timeout < observe.GAP_SECONDS


async def test_the_provider_is_told_since_when_stable_is_known() -> None:
    """So that it can tell what is new from what Prometheus has forgotten."""
    operator = await stable()
    seen = ReporterBaseline(requests=1000.0)
    operator.mesh.baseline = Baseline(seconds=600.0, scrape_interval=15.0, destination=seen, source=ReporterBaseline())
    operator.api.put(PODS, pod("reviews-v2-a", "v2"))
    operator.edit(version="v2")
    while operator.phase != "Analysing":
        await operator.polls(1)
    await operator.polls(1)
    assert operator.mesh.questions[0].known_since is None
    last = operator.mesh.questions[-1]
    assert last.known_since == operator.raw["status"]["rollout"]["evidence"]["weightSince"] - 600.0 + SLICE_MS / 1000.0
