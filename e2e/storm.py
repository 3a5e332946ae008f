"""Other people's edits: a fuzzer that edits fields of objects many times a second, and a record of every revision to judge by.

The fuzzer edits as people's tools do, by merge patch or by reading, changing and replacing. Every edit that the API server
accepted must afterwards be found in the object's revisions, in order and with no other value between: an edit that
somebody overwrote with what he had read before shows as a value that comes back.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from localmesh.kube import ApiError
from localmesh.mesh import Mesh

Object = dict[str, Any]

CONFLICTS = (409, 422)


@dataclass(frozen=True)
class Field:
    """A field of an object that the fuzzer edits. `value` turns the number of an edit into a value, which may come again."""

    path: str
    value: Callable[[int], Any]
    read: Callable[[Object], Any]
    merge: Callable[[Any], Object] | None = None
    """The merge patch for a value; without it the object is read, changed by `change` and replaced."""
    change: Callable[[Object, Any], None] = lambda item, value: None

    def edit(self, mesh: Mesh, number: int) -> Any:
        """Edit once; gives the value. Raises ApiError (409, 422) where somebody else was faster."""
        value = self.value(number)
        if self.merge is not None:
            mesh.patch(self.path, self.merge(value))
        else:
            item = mesh.get(self.path)
            self.change(item, value)
            mesh.request("PUT", self.path, item)
        return value


def annotation(path: str, name: str) -> Field:
    """An annotation, by merge patch."""
    return Field(
        path,
        value=lambda number: f"edit {number}",
        read=lambda item: item["metadata"].get("annotations", {}).get(name),
        merge=lambda value: {"metadata": {"annotations": {name: value}}},
    )


def label(path: str, name: str) -> Field:
    """A label, by reading, changing and replacing."""

    def change(item: Object, value: str) -> None:
        item["metadata"].setdefault("labels", {})[name] = value

    return Field(path, value=lambda number: f"edit-{number}", read=lambda item: item["metadata"].get("labels", {}).get(name), change=change)


@dataclass
class Fuzzer:
    """Edits the fields of one object, `rate` times a second in all, until stopped or for `limit` seconds.

    Each field has somebody of its own who edits it, so that they meet each other as well.
    """

    mesh: Mesh
    fields: Sequence[Field]
    rate: float = 20.0
    limit: float = 150.0
    seconds: float = 0.0
    """How long it went on."""
    _accepted: list[list[Any]] = field(default_factory=list)
    _conflicts: list[int] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _failures: list[BaseException] = field(default_factory=list)

    @property
    def edits(self) -> int:
        """How many were accepted."""
        return sum(map(len, self._accepted))

    @property
    def conflicts(self) -> int:
        """Edits for which somebody else was faster; they are not made again."""
        return sum(self._conflicts)

    @property
    def running(self) -> bool:
        """Whether all still edit."""
        return all(thread.is_alive() for thread in self._threads)

    def accepted(self, position: int) -> list[Any]:
        """The values of one field that were accepted, in order."""
        return self._accepted[position]

    def start(self) -> None:
        """Begin."""
        self._accepted, self._conflicts = [[] for _ in self.fields], [0 for _ in self.fields]
        self._threads = [threading.Thread(target=self._run, args=(position,), daemon=True) for position in range(len(self.fields))]
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the edits under way. Raises what ended one early."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._began
        if self._failures:
            raise self._failures[0]

    def _run(self, position: int) -> None:
        try:
            for number in itertools.count():
                due = self._began + (number + position / len(self.fields)) * len(self.fields) / self.rate
                if self._over.wait(max(due - time.monotonic(), 0.0)) or time.monotonic() - self._began > self.limit:
                    return
                self._edit(position, number)
        except BaseException as error:
            self._failures.append(error)

    def _edit(self, position: int, number: int) -> None:
        try:
            value = self.fields[position].edit(self.mesh, number)
        except ApiError as error:
            if error.status not in CONFLICTS:
                raise
            self._conflicts[position] += 1
        else:
            self._accepted[position].append(value)


@contextlib.contextmanager
def storm(*fuzzers: Fuzzer) -> Iterator[None]:
    """All of them while the block runs."""
    for fuzzer in fuzzers:
        fuzzer.start()
    try:
        yield
    finally:
        for fuzzer in fuzzers:
            fuzzer.stop()


class Record:
    """Every revision of the objects of a collection while the block runs."""

    def __init__(self) -> None:
        self._revisions: list[Object] = []
        self._lists = 0

    def revisions(self, name: str) -> list[Object]:
        """Those of one object, oldest first, from the state at the beginning on. Fails where the watch broke: some may be missing."""
        assert self._lists == 1, "the watch broke and began anew"
        return [item for item in list(self._revisions) if item["metadata"]["name"] == name]

    def caught_up(self, item: Object) -> bool:
        """Whether the watch has come to this revision of an object."""
        return any(seen["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"] for seen in reversed(self._revisions))

    async def follow(self, mesh: Mesh, path: str) -> None:
        """Take in what a collection's watch brings, for ever."""
        async for event in mesh.watch(path):
            self._lists += event.kind == "LISTED"
            self._revisions += event.objects if event.kind == "LISTED" else (event.object,)


@contextlib.contextmanager
def recorded(mesh: Mesh, path: str) -> Iterator[Record]:
    """Record a collection while the block runs."""
    record = Record()
    with mesh.background(record.follow(mesh, path)):
        mesh.wait(lambda: record._lists, 10, f"the watch of {path}")
        yield record


def values(revisions: Sequence[Object], read: Callable[[Object], Any]) -> list[Any]:
    """The values that a field had, one after the other."""
    return [value for value, _ in itertools.groupby(map(read, revisions))]


def assert_no_edit_was_lost(record: Record, fuzzer: Fuzzer, mesh: Mesh) -> None:
    """Every accepted edit is found, in order, with nothing between, and the last one of each field stands."""
    for position, edited in enumerate(fuzzer.fields):
        item = mesh.get(edited.path)
        mesh.wait(lambda item=item: record.caught_up(item), 10, "the watch to catch up")
        accepted = fuzzer.accepted(position)
        assert accepted, f"no edit of field {position} of {edited.path} was accepted"
        seen = values(record.revisions(item["metadata"]["name"]), edited.read)
        wanted = [value for value, _ in itertools.groupby([seen[0], *accepted])]
        assert seen == wanted, f"field {position} of {edited.path}: {_difference(seen, wanted)}"
        assert edited.read(item) == accepted[-1]


def _difference(seen: list[Any], wanted: list[Any]) -> str:
    """Where two sequences part."""
    at = next((index for index, (a, b) in enumerate(zip(seen, wanted, strict=False)) if a != b), min(len(seen), len(wanted)))
    return f"{seen[max(0, at - 2) : at + 3]} was seen where {wanted[max(0, at - 2) : at + 3]} was written (edit {at} of {len(wanted)})"
