"""The base classes of all models of the API."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Immutable, camelCase in the API, unknown fields refused (the API server prunes them earlier)."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, which are not validated. As pydantic's own, but quick: a pass makes a dozen of them."""
        if deep:
            return super().model_copy(update=update, deep=True)
        copied = object.__new__(type(self))
        changes, given = update or {}, self.__pydantic_fields_set__
        object.__setattr__(copied, "__dict__", {**self.__dict__, **changes})
        object.__setattr__(copied, "__pydantic_fields_set__", given if given.issuperset(changes) else given | changes.keys())
        object.__setattr__(copied, "__pydantic_extra__", None)
        object.__setattr__(copied, "__pydantic_private__", None)
        return copied


class StatusModel(Model):
    """Fields of a newer operator are ignored, so that a downgrade reads what it knows."""

    model_config = ConfigDict(extra="ignore")
