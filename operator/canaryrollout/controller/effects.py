"""Carrying out what a decision asks for. Every effect is safe to repeat and carries its own precondition."""

import structlog

from canaryrollout.controller.cluster import FINALIZER
from canaryrollout.controller.conflicts import Replan, patch_fenced, write_fenced
from canaryrollout.controller.recorder import Recorder
from canaryrollout.controller.subject import Object
from canaryrollout.core.decision import Action, CreateObject, EmitEvent, PatchObject, SetFinalizer
from canaryrollout.core.ownership import MANAGER
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import ApiError, Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from canaryrollout.kube.resources import CANARYROLLOUTS, DESTINATIONRULES, VIRTUALSERVICES

_RESOURCES = {"VirtualService": VIRTUALSERVICES, "DestinationRule": DESTINATIONRULES}

log = structlog.get_logger(__name__)


class Effects:
    """Writes to the cluster on behalf of one CanaryRollout."""

    def __init__(self, kube: KubeClient, recorder: Recorder) -> None:
        self._kube = kube
        self._recorder = recorder

    async def run(self, raw: Object, actions: tuple[Action, ...], replan: Replan) -> None:
        """In order; the first that fails ends the pass (ApiError), and the next pass starts from what is there.

        `raw` is the CanaryRollout with the intent stored. What was decided is told even where somebody else's write came in between, or
        this one was refused: it is in the status, and the next pass will not decide it again.
        """
        for position, action in enumerate(actions):
            try:
                await self._run(raw, action, replan)
            except ApiError as error:
                # Who does not answer would only make the next try wait.
                answered = error.status != 0
                for event in actions[position + 1 :]:
                    if answered and isinstance(event, EmitEvent):
                        await self._recorder.record(raw, event)
                raise

    async def _run(self, raw: Object, action: Action, replan: Replan) -> None:
        match action:
            case CreateObject():
                await self._create(raw, action)
            case PatchObject():
                await self._patch(raw, action, replan)
            case SetFinalizer():
                await self._finalizer(raw, held=action.held)
            case EmitEvent():
                await self._recorder.record(raw, action)

    async def _create(self, raw: Object, action: CreateObject) -> None:
        await self._kube.create(_RESOURCES[action.kind], raw["metadata"]["namespace"], action.body)
        log.info("created", kind=action.kind, name=action.name)

    async def _patch(self, raw: Object, action: PatchObject, replan: Replan) -> None:
        try:
            done = await patch_fenced(self._kube, raw, _RESOURCES[action.kind], action, replan, manager=MANAGER)
        except (Conflict, PreconditionFailed, NotFound, Forbidden, Invalid) as error:
            if action.needed:
                raise
            log.info("left as it is", kind=action.kind, name=action.name, error=str(error))
            return
        log.info("patched", kind=done.kind, name=done.name, operations=len(done.operations))

    async def _finalizer(self, raw: Object, *, held: bool) -> None:
        """A merge patch of the whole list, with resourceVersion: other controllers' finalizers stay."""

        async def write(item: Object, _: int) -> Object:
            metadata = item["metadata"]
            others = [name for name in metadata.get("finalizers") or [] if name != FINALIZER]
            body = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": [*others, FINALIZER] if held else others}}
            return await self._kube.merge_patch(CANARYROLLOUTS, metadata["namespace"], metadata["name"], body)

        updated = await write_fenced(self._kube, raw, write)
        raw["metadata"] = updated["metadata"]
