"""What a Lease may hold before us, and what we write into it."""

import asyncio

import pytest
from canaryrollout.controller.lease import LeaseElector
from canaryrollout.kube.resources import LEASES
from memory_api import NAMESPACE, MemoryApi


def elector(api: MemoryApi, **times: float) -> LeaseElector:
    return LeaseElector(api, namespace=NAMESPACE, name="operator", identity="a", **times)  # type: ignore[arg-type]


@pytest.mark.parametrize("empty", [{}, {"spec": {}}, {"spec": None}], ids=["no spec", "an empty spec", "null"])
async def test_a_lease_that_was_made_empty_is_free(empty: dict[str, object]) -> None:
    api = MemoryApi()
    api.put(LEASES, {"metadata": {"name": "operator"}, **empty})
    async with asyncio.timeout(5):
        await elector(api).acquire()
    spec = api.find(LEASES, "operator")["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 15, 1)


@pytest.mark.parametrize("present", [False, True], ids=["made", "taken"])
async def test_others_wait_at_least_as_long_as_we_may_lead_without_renewing(present: bool) -> None:
    api = MemoryApi()
    if present:
        api.put(LEASES, {"metadata": {"name": "operator"}, "spec": {"holderIdentity": ""}})
    await elector(api, duration=2.4, renew_deadline=2.3).acquire()
    assert api.find(LEASES, "operator")["spec"]["leaseDurationSeconds"] >= 2.3
