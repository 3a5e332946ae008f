"""Which CanaryRollouts exist and which Services they watch: maps events of other objects to the keys they concern."""

from collections import defaultdict
from collections.abc import Iterable

from canaryrollout.controller.reconciler import Key


class Directory:
    """Known CanaryRollouts by namespace. Only a hint for waking up; decisions read live."""

    def __init__(self) -> None:
        self._services: dict[str, dict[str, str]] = defaultdict(dict)
        self._asked: dict[Key, object] = {}

    def put(self, key: Key, service: str) -> None:
        """Note a CanaryRollout."""
        self._services[key.namespace][key.name] = service

    def asks(self, key: Key, request: object) -> bool:
        """Note what people ask of one; whether it is something new."""
        new = self._asked.get(key) != request
        self._asked[key] = request
        return new

    def drop(self, key: Key) -> None:
        """Forget one that is gone."""
        self._asked.pop(key, None)
        self._services[key.namespace].pop(key.name, None)

    def in_namespace(self, namespace: str) -> list[Key]:
        """All of a namespace."""
        return [Key(namespace, name) for name in self._services.get(namespace, {})]

    def for_service(self, namespace: str, service: str) -> list[Key]:
        """Those of one Service."""
        return [Key(namespace, name) for name, of in self._services.get(namespace, {}).items() if of == service]

    def all(self) -> list[Key]:
        """Every one."""
        return [Key(namespace, name) for namespace, names in self._services.items() for name in names]

    def retain(self, keys: Iterable[Key]) -> list[Key]:
        """Keep only those that a full list showed (a watch can miss a deletion); gives the ones that were dropped."""
        present = set(keys)
        gone = [key for key in self.all() if key not in present]
        for key in gone:
            self.drop(key)
        return gone
