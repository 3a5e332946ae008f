"""kill -9 of the operator in every phase: the rollout ends as it would have, no step is shorter than asked for."""

import threading
from typing import Any

import pytest
from arena import Arena, arena, seconds
from localmesh.mesh import Mesh

BROKEN = {"error_rate": 0.6}


class Weights(threading.Thread):
    """Reads the VirtualService again and again and keeps every split that it saw."""

    def __init__(self, place: Arena) -> None:
        super().__init__(daemon=True)
        self._place = place
        self._done = threading.Event()
        self.seen: set[tuple[tuple[str, int], ...]] = set()

    def run(self) -> None:
        while not self._done.wait(0.05):
            split = self._place.split()
            if split:
                self.seen.add(tuple(sorted(split.items())))

    def stop(self) -> None:
        self._done.set()
        self.join()


def kill_in(place: Arena, phase: str) -> None:
    """SIGKILL as soon as the status shows a phase, then a new process."""
    place.mesh.wait(lambda: place.phase() == phase, 120, f"phase {phase}")
    place.operator.kill()
    place.operator.start()


def assert_steps_were_long_enough(place: Arena, minimum: float) -> None:
    """From the proof of each step to the next intent, as the Events tell."""
    events = [(event["reason"], seconds(event["eventTime"])) for event in place.events()]
    for index, (reason, time) in enumerate(events):
        if reason == "StepSynced":
            following = next((later for name, later in events[index + 1 :] if name in ("StepStarted", "Promoting", "RollingBack")), None)
            assert following is None or following - time >= minimum, events


@pytest.mark.parametrize("phase", ["Adopting", "Preparing", "Shifting", "Analysing", "Promoting", "RollingBack", "Paused", "Restoring"])
def test_killed_in_any_phase_the_rollout_ends_as_it_would_have(mesh: Mesh, phase: str, quick: dict[str, Any]) -> None:
    with arena(mesh, "killed") as place:
        watcher = Weights(place)
        watcher.start()
        place.rollout("v1", **quick)
        if phase == "Adopting":
            kill_in(place, phase)
        place.wait_phase("Stable")
        with mesh.load(place.namespace, rps=60) as load:
            place.release("v2", **(BROKEN if phase == "RollingBack" else {}))
            if phase == "Paused":
                place.wait_phase("Analysing")
                place.edit(paused=True)
                kill_in(place, phase)
                place.wait(place.operator.ready, 30)
                assert place.wait_phase("Paused")["weight"] > 0
                place.edit(paused=False)
            elif phase == "Restoring":
                place.wait_phase("Analysing")
                mesh.delete(place.path())
                kill_in_restoring(place)
                place.wait(lambda: mesh.find(place.path()) is None, 60, "the object to go")
            elif phase != "Adopting":
                kill_in(place, phase)
            if phase != "Restoring":
                expected = "RolledBack" if phase == "RollingBack" else "Promoted"
                assert place.wait_outcome("v2", 180)["outcome"] == expected
            if phase != "RollingBack":
                assert load.failures() == []
        watcher.stop()
        final = {"v1": 100} if phase in ("RollingBack", "Restoring") else {"v2": 100}
        assert place.split() == final
        assert {sum(weight for _, weight in split) for split in watcher.seen} == {100}
        if phase not in ("RollingBack", "Restoring"):
            assert_steps_were_long_enough(place, 6.0)


def kill_in_restoring(place: Arena) -> None:
    """The phase may be over before it is seen; then the kill comes right after."""
    place.mesh.wait(lambda: place.mesh.find(place.path()) is None or place.phase() == "Restoring", 60, "phase Restoring")
    place.operator.kill()
    place.operator.start()


def test_a_standby_takes_over_from_a_killed_leader(mesh: Mesh, quick: dict[str, Any]) -> None:
    lease = {"lease-duration": "4s", "lease-renew-deadline": "3s", "lease-retry-period": "500ms"}
    with arena(mesh, "standby", flags=lease) as place:
        standby = place.another_operator(lease)
        standby.start()
        try:
            place.rollout("v1", **quick)
            place.wait_phase("Stable")
            with mesh.load(place.namespace, rps=60) as load:
                place.release("v2")
                place.wait_phase("Analysing")
                place.operator.kill()
                assert place.wait_outcome("v2", 180)["outcome"] == "Promoted"
                assert load.failures() == []
        finally:
            assert standby.stop() == 0
