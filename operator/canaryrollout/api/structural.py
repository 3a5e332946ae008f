"""JSON Schema of a pydantic model as the structural schema that a CustomResourceDefinition takes.

Structural schemas (Kubernetes, "Specifying a structural schema") know no $ref, no unions with null, no numeric exclusive
limits and no additionalProperties beside properties; unknown fields are pruned by the API server instead of refused.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_COPIED = ("description", "format", "minimum", "maximum", "multipleOf", "minLength", "maxLength", "pattern")
_COPIED_LISTS = ("minItems", "maxItems", "minProperties", "maxProperties", "enum", "required")
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


def structural_schema(model: type[BaseModel], *, defaults: bool) -> Schema:
    """The structural schema of `model`, field names as in the API.

    `defaults` keeps the models' defaults, so that the API server fills them in; objects that hold any get the default
    {} themselves, else an absent object would stay absent. Raises ValueError for what a structural schema cannot say.
    """
    source = model.model_json_schema(by_alias=True, mode="validation")
    return _Converter(source.get("$defs", {}), defaults).convert(source, model.__name__)


class _Converter:
    def __init__(self, definitions: Mapping[str, Schema], defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def convert(self, source: Schema, path: str) -> Schema:
        source = self._resolve(source, path)
        if "type" not in source and not source.get(_PRESERVE):
            raise ValueError(f"{path}: a structural schema needs a type, found {sorted(source)}")
        result = {key: source[key] for key in ("type", *_COPIED, *_COPIED_LISTS) if key in source}
        if "const" in source:
            result["enum"] = [source["const"]]
        result |= _exclusive_limits(source)
        result |= self._children(source, path)
        result |= {key: value for key, value in source.items() if key.startswith("x-kubernetes-")}
        if self._defaults and source.get("default") is not None:
            result["default"] = source["default"]
        return result

    def _resolve(self, source: Schema, path: str) -> Schema:
        """Follow $ref and unwrap "X or null"; what stands beside them wins over what they point to."""
        beside = {key: value for key, value in source.items() if key not in ("$ref", "anyOf")}
        if "$ref" in source:
            return self._resolve(self._definitions[source["$ref"].rsplit("/", 1)[-1]] | beside, path)
        if "anyOf" in source:
            options = [option for option in source["anyOf"] if option.get("type") != "null"]
            if len(options) != 1:
                raise ValueError(f"{path}: a structural schema has no unions")
            return self._resolve(options[0] | beside, path)
        return source

    def _children(self, source: Schema, path: str) -> Schema:
        if source.get("type") == "array":
            return {"items": self.convert(source["items"], f"{path}[]")}
        if "properties" in source:
            properties = {name: self._property(value, f"{path}.{name}") for name, value in source["properties"].items()}
            return {"properties": properties}
        values = source.get("additionalProperties")
        if isinstance(values, dict):
            return {"additionalProperties": self.convert(values, f"{path}{{}}")}
        return {_PRESERVE: True} if values else {}

    def _property(self, source: Schema, path: str) -> Schema:
        converted = self.convert(source, path)
        # Optional objects ("X or null") stay absent: absence means something there.
        optional = "anyOf" in source
        if self._defaults and not optional and "default" not in converted and _holds_defaults(converted) and not converted.get("required"):
            converted["default"] = {}
        return converted


def _exclusive_limits(source: Schema) -> Schema:
    """JSON Schema 2020's numeric exclusive limits as OpenAPI 3.0's flags beside the limit."""
    result: Schema = {}
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in source:
            result |= {inclusive: source[exclusive], exclusive: True}
    return result


def _holds_defaults(schema: Schema) -> bool:
    return any("default" in value for value in schema.get("properties", {}).values())
