"""From a model's JSON Schema to what a CustomResourceDefinition takes."""

from typing import Annotated, Any, Literal

import pytest
from canaryrollout.api.structural import structural_schema
from pydantic import BaseModel, Field


class Inner(BaseModel):
    """An inner object."""

    size: int = 3


class Named(BaseModel):
    name: str


def converted(annotation: Any, default: Any = ..., *, defaults: bool = True) -> dict[str, Any]:
    model = type("Outer", (BaseModel,), {"__annotations__": {"field": annotation}, "field": default})
    schema: dict[str, Any] = structural_schema(model, defaults=defaults)
    return dict(schema["properties"]["field"])


def test_titles_and_additional_properties_are_dropped() -> None:
    schema = structural_schema(Inner, defaults=True)
    assert schema == {"type": "object", "description": "An inner object.", "properties": {"size": {"type": "integer", "default": 3}}}


def test_an_optional_field_loses_null_and_its_null_default() -> None:
    assert converted(str | None, None) == {"type": "string"}


def test_an_exclusive_limit_becomes_a_flag_beside_the_limit() -> None:
    assert converted(Annotated[float, Field(gt=0, lt=5)]) == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 5,
        "exclusiveMaximum": True,
    }


def test_literals_become_enums() -> None:
    assert converted(Literal["one"]) == {"type": "string", "enum": ["one"]}
    assert converted(Literal["one", "two"]) == {"type": "string", "enum": ["one", "two"]}


def test_references_are_resolved_in_lists_and_maps() -> None:
    inner = {"type": "object", "description": "An inner object.", "properties": {"size": {"type": "integer", "default": 3}}}
    assert converted(tuple[Inner, ...]) == {"type": "array", "items": inner}
    assert converted(dict[str, Inner]) == {"type": "object", "additionalProperties": inner}


def test_an_absent_object_gets_its_inner_defaults_through_an_empty_default() -> None:
    assert converted(Inner, Field(default_factory=Inner))["default"] == {}


def test_an_optional_object_stays_absent() -> None:
    assert "default" not in converted(Inner | None, None)


def test_an_object_with_required_fields_gets_no_empty_default() -> None:
    assert "default" not in converted(Named)


def test_defaults_can_be_left_out() -> None:
    assert converted(int, 3, defaults=False) == {"type": "integer"}
    assert "default" not in str(converted(Inner, Field(default_factory=Inner), defaults=False))


def test_free_form_objects_keep_unknown_fields() -> None:
    assert converted(dict[str, Any]) == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_kubernetes_extensions_are_passed_through() -> None:
    field = Field(json_schema_extra={"x-kubernetes-list-type": "set"})
    assert converted(list[str], field)["x-kubernetes-list-type"] == "set"


def test_a_field_s_description_wins_over_its_type_s() -> None:
    assert converted(Inner, Field(description="This one."))["description"] == "This one."


def test_a_union_is_refused_by_its_path() -> None:
    with pytest.raises(ValueError, match=r"Outer\.field: a structural schema has no unions"):
        converted(int | str)


def test_a_value_of_any_type_is_refused_by_its_path() -> None:
    with pytest.raises(ValueError, match=r"Outer\.field: a structural schema needs a type"):
        converted(Any)
