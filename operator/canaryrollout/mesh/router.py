"""What the reconciler asks of a mesh."""

from typing import Protocol

from canaryrollout.core.snapshot import Expectation, SyncReport


class SyncProver(Protocol):
    """Proves what the proxies serve."""

    async def prove(self, expectation: Expectation, workloads: frozenset[str]) -> SyncReport:
        """Ask the control plane and judge every relevant proxy. Never raises for a mesh that does not answer: the report says so.

        `workloads` are those already known to be relevant ("NAMESPACE/WORKLOAD"), from earlier reports of this rollout.
        """
        ...
