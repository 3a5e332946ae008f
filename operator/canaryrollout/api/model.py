"""The base classes of all models of the API."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Immutable, camelCase in the API, unknown fields refused (the API server prunes them earlier)."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class StatusModel(Model):
    """Fields of a newer operator are ignored, so that a downgrade reads what it knows."""

    model_config = ConfigDict(extra="ignore")
