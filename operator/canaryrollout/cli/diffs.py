"""Objects as YAML, and what a stage changes in them as a unified diff."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from canaryrollout.core.preview import Kind, Preview, Stage, without_bookkeeping
from canaryrollout.core.snapshot import MeshObjects, Raw


class _Dumper(yaml.SafeDumper):
    """Without anchors: two destinations may share what is written once in memory."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - lists stand out from their key
        return super().increase_indent(flow, False)


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    """A text with line breaks stays on one line: none of its own may pass for a line of the diff, or of what reads it."""
    quoted = '"' if value.splitlines() not in ([], [value]) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=quoted)


_Dumper.add_representer(str, _text)


def as_yaml(item: Raw) -> str:
    """An object as people write it, its own order kept."""
    return yaml.dump(without_bookkeeping(item), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


@dataclass(frozen=True, slots=True)
class Change:
    """What a stage makes of one object."""

    subject: str
    """"Kind/NAMESPACE/NAME"."""
    before: Raw | None
    after: Raw

    @property
    def diff(self) -> Sequence[str]:
        """The lines of a unified diff."""
        old = as_yaml(self.before).splitlines() if self.before is not None else []
        start = self.subject if self.before is not None else "/dev/null"
        return list(difflib.unified_diff(old, as_yaml(self.after).splitlines(), start, self.subject, lineterm=""))


def changes(before: MeshObjects, after: MeshObjects) -> tuple[Change, ...]:
    """The objects that differ, VirtualServices last (the order in which they are written)."""
    pairs = (("DestinationRule", before.destination_rules, after.destination_rules), *_services(before, after))
    return tuple(change for kind, old, new in pairs for change in _changed(kind, old, new))


def _services(before: MeshObjects, after: MeshObjects) -> Iterator[tuple[str, tuple[Raw, ...], tuple[Raw, ...]]]:
    yield "VirtualService", before.virtual_services, after.virtual_services


def _changed(kind: str, old: tuple[Raw, ...], new: tuple[Raw, ...]) -> Iterator[Change]:
    known = {item["metadata"]["name"]: item for item in old}
    for item in new:
        found = known.get(item["metadata"]["name"])
        if found is None or without_bookkeeping(found) != without_bookkeeping(item):
            yield Change(f"{kind}/{item['metadata']['namespace']}/{item['metadata']['name']}", found, item)


@dataclass(frozen=True, slots=True)
class StageChanges:
    """A stage and what it changes."""

    stage: Stage
    changes: tuple[Change, ...]


def stages(shown: Preview) -> tuple[StageChanges, ...]:
    """Every stage against the one before."""
    found, before = [], shown.before
    for stage in shown.stages:
        found.append(StageChanges(stage, changes(before, stage.mesh)))
        before = stage.mesh
    return tuple(found)


def rollback(shown: Preview) -> tuple[Change, ...]:
    """What a rollback from the last step leaves otherwise than the rollout found it (in mid-rollout: than it is now)."""
    if shown.rollback is None:
        return ()
    return changes(shown.baseline or shown.before, shown.rollback)


def title(stage: Stage, stable: str, version: str) -> str:
    """A stage as a heading."""
    match stage.kind:
        case Kind.ADOPTION:
            return f"Adoption (routes pinned to {stable})"
        case Kind.PREPARATION:
            return f"Preparation (subset of {version}, no traffic yet)"
        case Kind.STEP:
            return f"Step {stage.step} ({stage.weight} % to {version})"
        case Kind.PROMOTION:
            return f"Promotion ({stable} leaves the routes)"
        case Kind.ROLLBACK:
            return f"Rollback (all traffic to {stable})"
