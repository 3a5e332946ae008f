"""Istio's own definitions: which fields there are, which of them an object uses, what a structural schema keeps, and objects
generated from it.
"""

import base64
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

Schema = Mapping[str, Any]

WORDS = ["a", "x-user", "größe", "~1/0~", "v7", "", "日本", "0", "true", "*", "a b"]
DURATIONS = ["1ms", "250ms", "1.5s", "10s", "1h", "24h0m0.5s"]


@cache
def spec_schema(crds: Path, kind: str) -> Schema:
    """The schema of `spec` of version v1 of a kind of networking.istio.io."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for definition in yaml.load_all(crds.read_text(), Loader=loader):
        if definition and definition["spec"]["names"]["kind"] == kind:
            version = next(version for version in definition["spec"]["versions"] if version["name"] == "v1")
            schema: Schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
            return schema
    raise LookupError(kind)


def fields(schema: Schema, path: str = "spec") -> Iterator[str]:
    """Every field below, as a.b[].c{}.d: [] for items, {} for the values of a map."""
    for name, inner in (schema.get("properties") or {}).items():
        yield f"{path}.{name}"
        yield from fields(inner, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from fields(schema["additionalProperties"], f"{path}{{}}")


def used(schema: Schema, value: Any, path: str = "spec") -> Iterator[str]:
    """The fields of the schema that an object has; an explicit null does not count."""
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from used(schema["items"], item, f"{path}[]")
    if not isinstance(value, Mapping):
        return
    properties = schema.get("properties") or {}
    for name, inner in value.items():
        if name in properties and inner is not None:
            yield f"{path}.{name}"
            yield from used(properties[name], inner, f"{path}.{name}")
        elif isinstance(schema.get("additionalProperties"), Mapping):
            yield from used(schema["additionalProperties"], inner, f"{path}{{}}")


def stored(schema: Schema, value: Any) -> Any:
    """What an API server keeps of an object: no unknown fields, no nulls where none are allowed."""
    if isinstance(value, list) and "items" in schema:
        return [stored(schema["items"], item) for item in value]
    if not isinstance(value, Mapping):
        return value
    properties, values = schema.get("properties") or {}, schema.get("additionalProperties")
    kept = {}
    for name, inner in value.items():
        known = properties.get(name, values if isinstance(values, Mapping) else None)
        if known is not None and (inner is not None or known.get("nullable")):
            kept[name] = stored(known, inner)
    return kept


# Generated objects: what the definitions allow, small, in any order of keys.


def _exclusive(schema: Schema) -> list[set[str]]:
    """Groups of fields of which at most one may be set: Istio's definitions say oneOf [none of them, a, b, ...]."""
    groups = [schema, *schema.get("allOf", [])]
    return [{field for option in group["oneOf"] for field in option.get("required", [])} for group in groups if "oneOf" in group]


def _rules(schema: Schema) -> str:
    return " ".join(rule["rule"] for rule in schema.get("x-kubernetes-validations", []))


def _strings(schema: Schema) -> st.SearchStrategy[str]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "duration(" in _rules(schema):
        return st.sampled_from(DURATIONS)
    if schema.get("format") == "byte":
        return st.binary(max_size=8).map(lambda data: base64.b64encode(data).decode())
    forbidden = "*" if "contains" in _rules(schema) else ""
    return st.sampled_from([word for word in WORDS if not (forbidden and forbidden in word)])


def _numbers(schema: Schema) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema["type"] == "integer":
        bounds = (0 if low is None else int(low), 2**31 - 1 if high is None else int(high))
        return st.sampled_from([bounds[0], bounds[1]]) | st.integers(*bounds)
    # Round-trips through JSON on both sides; an integral one comes back from the API server as an integer.
    return st.sampled_from([value for value in (0.5, 1.25, 99.9, 0.001) if (low or 0) <= value <= (100 if high is None else high)])


@st.composite
def _objects(draw: st.DrawFn, schema: Schema, without: frozenset[str]) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    required = [name for name in schema.get("required", []) if name not in without]
    optional = sorted(set(properties) - set(required) - without)
    names = draw(st.lists(st.sampled_from(optional), unique=True, max_size=4)) if optional else []
    for group in _exclusive(schema):
        several = [name for name in names if name in group]
        names = [name for name in names if name not in several[1:]]
    return {name: draw(values(properties[name])) for name in draw(st.permutations([*required, *names]))}


@st.composite
def _maps(draw: st.DrawFn, schema: Schema) -> dict[str, Any]:
    strict = "key" in _rules(schema)
    keys = [word for word in WORDS if not (strict and (not word or "*" in word))]
    names = draw(st.lists(st.sampled_from(keys), unique=True, max_size=2))
    return {name: draw(values(schema["additionalProperties"])) for name in names}


def values(schema: Schema, *, without: frozenset[str] = frozenset()) -> st.SearchStrategy[Any]:
    """What a schema allows. `without` names properties of an object that are left out."""
    match schema.get("type"):
        case "object" if isinstance(schema.get("additionalProperties"), Mapping):
            found: st.SearchStrategy[Any] = _maps(schema)
        case "object":
            found = _objects(schema, without)
        case "array":
            found = st.lists(st.deferred(lambda: values(schema["items"])), max_size=2)
        case "string":
            found = _strings(schema)
        case "integer" | "number":
            found = _numbers(schema)
        case "boolean":
            found = st.booleans()
        case other:
            raise NotImplementedError(f"a generator for {other!r}: {schema}")
    return st.none() | found if schema.get("nullable") else found
