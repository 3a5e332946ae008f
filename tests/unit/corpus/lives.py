"""A case put into the world of the pure tests, and what may happen to it."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from canaryrollout.api.status import Phase

from tests.unit.core.world import World, pods
from tests.unit.corpus.case import Case, Item, Objects

STEPS: Mapping[str, Any] = {"steps": [{"weight": 10}, {"weight": 50}, {"weight": 100}]}


@dataclass
class Life(World):
    """The world of one case."""

    case: Case | None = None

    def served(self) -> dict[str, int]:
        """Percent of the service's traffic in its first moving route, by version."""
        case = self.case
        assert case is not None
        service = self.objects["VirtualService", case.virtual_service["metadata"]["name"]]
        entries = service["spec"]["http"][case.moving[0]]["route"]
        ours = [entry for entry in entries if case.is_service(entry["destination"]["host"])]
        if len(entries) == 1:
            return {self._version(ours[0]): 100}
        total = sum(entry.get("weight", 0) for entry in ours)
        return {self._version(entry): round(100 * entry.get("weight", 0) / total) for entry in ours} if total else {}

    def _version(self, entry: Item) -> str:
        assert self.case is not None
        rules = (item for (kind, _), item in self.objects.items() if kind == "DestinationRule")
        name = entry["destination"].get("subset")
        for rule in rules:
            for subset in rule["spec"].get("subsets") or []:
                if self.case.is_service(rule["spec"]["host"]) and subset["name"] == name:
                    return str(subset["labels"].get(self.case.label, ""))
        return ""


def begin(case: Case) -> Life:
    """The objects of a case, with nothing done yet."""
    spec = {"service": case.service, "version": case.stable, **STEPS, **case.spec}
    life = Life(case=case, spec=spec, versions={case.stable: pods(case.stable)})
    life.add(*case.fresh())
    return life


def adopted(case: Case) -> Life:
    """The objects of a case, stable pinned."""
    return begin(case).run_to(Phase.STABLE)


def kept(life: Life) -> Objects:
    """The objects as they are now."""
    return deepcopy(life.objects)


def promote(life: Life, version: str) -> Life:
    """A whole rollout that succeeds."""
    return life.release(version).run(until=lambda world: world.parsed.stable_version == version)


def roll_back(life: Life, version: str) -> Life:
    """A rollout that is undone because the canary fails."""
    life.error_rate = {version: 0.5}
    return life.release(version).run_to(Phase.ROLLED_BACK)


def delete_in_mid_rollout(life: Life, version: str) -> Life:
    """A rollout whose CanaryRollout is deleted at half of the traffic."""
    life.release(version).run(until=lambda world: world.phase is Phase.ANALYSING and world.parsed.weight >= 50)
    life.deleting = True
    return life.run(until=lambda world: world.gone)
