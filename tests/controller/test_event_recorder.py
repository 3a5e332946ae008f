"""Events: one per decision, however often the decision is replayed, and never a reason to stop."""

import re

import pytest
from canaryrollout.controller.recorder import NOTE_LIMIT, Recorder
from canaryrollout.core.decision import EmitEvent
from canaryrollout.kube.errors import Forbidden
from canaryrollout.kube.resources import CANARYROLLOUTS
from memory_api import MemoryApi, Object, rollout


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()


def posted(api: MemoryApi) -> list[Object]:
    return [item for (plural, _, _), item in api.objects.items() if plural == "events"]


async def record(api: MemoryApi, *events: EmitEvent, item: Object | None = None) -> None:
    raw = api.put(CANARYROLLOUTS, item or rollout())
    for event in events:
        await Recorder(api, "operator-0").record(raw, event)  # type: ignore[arg-type]


async def test_a_replayed_decision_posts_no_second_event(api: MemoryApi) -> None:
    await record(api, *[EmitEvent("StepStarted", "step 1/5: 5 %")] * 3)
    assert len(posted(api)) == 1


async def test_another_reason_message_rollout_or_object_is_another_event(api: MemoryApi) -> None:
    await record(api, EmitEvent("StepStarted", "5 %"), EmitEvent("StepStarted", "10 %"), EmitEvent("StepSynced", "10 %"))
    later, again = rollout(), rollout()
    later["status"] = {"rollout": {"startedAt": "2024-01-01T00:00:00Z"}}
    again["metadata"]["uid"] = "made-anew"
    await record(api, EmitEvent("StepStarted", "5 %"), item=later)
    await record(api, EmitEvent("StepStarted", "5 %"), item=again)
    assert len(posted(api)) == 5


async def test_of_events_with_one_key_the_first_is_posted(api: MemoryApi) -> None:
    stale = [EmitEvent("StaleData", f"no sample for {age} s", warning=True, key="step 1/5") for age in (61, 66, 71)]
    await record(api, *stale, EmitEvent("StaleData", "no sample for 61 s", warning=True, key="step 2/5"))
    assert [event["note"] for event in posted(api)] == ["no sample for 61 s"] * 2


async def test_the_event_is_about_the_object_and_says_how_bad_it_is(api: MemoryApi) -> None:
    await record(api, EmitEvent("RollingBack", "rolled back at 5 %", warning=True))
    event = posted(api)[0]
    assert (event["type"], event["reason"], event["regarding"]["kind"]) == ("Warning", "RollingBack", "CanaryRollout")
    assert event["regarding"]["uid"] == "uid-canaryrollouts-reviews"
    assert event["eventTime"] == "2023-11-14T22:13:20.000000Z"


@pytest.mark.parametrize("message", ["x" * 5000, "\u00e4" * 5000, "\U0001f600" * 5000])
async def test_a_long_note_is_cut_to_the_bytes_that_the_api_server_takes(api: MemoryApi, message: str) -> None:
    await record(api, EmitEvent("RollingBack", message))
    note = posted(api)[0]["note"]
    assert NOTE_LIMIT - 4 < len(note.encode()) <= NOTE_LIMIT
    assert message.startswith(note)


async def test_an_event_that_may_not_be_posted_holds_up_nothing(api: MemoryApi) -> None:
    def forbidden(verb: str, plural: str, name: str) -> None:
        if plural == "events":
            raise Forbidden(403, "Forbidden", "no")

    api.before = forbidden
    await record(api, EmitEvent("StepStarted", "5 %"))
    assert posted(api) == []


async def test_a_note_cannot_steer_a_terminal(api: MemoryApi) -> None:
    await record(api, EmitEvent("TakenOver", "taken over: \x1b[2J\x1b]8;;http://evil\x07click\r\nRolledBack", warning=True))
    assert posted(api)[0]["note"] == "taken over: [2J ]8;;http://evil click RolledBack"


@pytest.mark.parametrize("name", ["a" * 253, "a" * 235 + "." + "b" * 17], ids=["long", "cut at a dot"])
async def test_an_event_of_an_object_with_a_long_name_has_a_name_that_the_api_takes(api: MemoryApi, name: str) -> None:
    item = rollout()
    item["metadata"]["name"] = name
    await record(api, EmitEvent("StepStarted", "5 %"), item=item)
    (event,) = posted(api)
    assert len(event["metadata"]["name"]) <= 253
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", event["metadata"]["name"])
    assert event["regarding"]["name"] == name
