"""Copies of models are as pydantic's own: quick, and nothing besides."""

from typing import Any

import pytest
from canaryrollout.api.spec import CanaryRolloutSpec
from pydantic import BaseModel, ValidationError

SPEC = CanaryRolloutSpec(service="reviews", version="v2")
CHANGES: tuple[dict[str, Any] | None, ...] = (None, {}, {"version": "v3"}, {"paused": True}, {"version": "v3", "stable_version": "v1"})


@pytest.mark.parametrize("update", CHANGES)
def test_a_copy_is_as_pydantics_own(update: dict[str, Any] | None) -> None:
    before = SPEC.model_dump(), set(SPEC.model_fields_set)
    found, wanted = SPEC.model_copy(update=update), BaseModel.model_copy(SPEC, update=update)
    assert found == wanted
    assert found.model_fields_set == wanted.model_fields_set
    assert found.model_dump(exclude_unset=True) == wanted.model_dump(exclude_unset=True)
    assert (SPEC.model_dump(), SPEC.model_fields_set) == before, "what is copied stays as it was"


def test_a_copy_cannot_be_changed_either() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SPEC.model_copy(update={"version": "v3"}).version = "v4"  # type: ignore[misc]
