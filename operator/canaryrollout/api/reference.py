"""docs/reference/api.md, generated from the models.

`python -m canaryrollout.api.reference` writes them, `--check` compares instead and fails on drift.
"""

import argparse
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from canaryrollout.api.crd import GROUP, KIND, VERSION, custom_resource_definition

Schema = dict[str, Any]

PAGE = "docs/reference/api.md"

_INTRODUCTION = f"""<!-- Generated from operator/canaryrollout/api by `make crds`; do not edit. -->
# API reference

`{GROUP}/{VERSION}`, kind `{KIND}`, short name `crollout`. A CanaryRollout touches only its own namespace.

```yaml
apiVersion: {GROUP}/{VERSION}
kind: {KIND}
metadata:
  name: reviews
  namespace: bookinfo
spec:
  service: reviews
  version: v2
```

Durations are numbers with units (`500ms`, `30s`, `1h30m`), shares are percentages (`1%`, `0.5%`), both as strings.
"""


def page() -> str:
    """The text of the page."""
    schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    parts = [_INTRODUCTION]
    for name, title in (("spec", "What you write"), ("status", "What the operator reports")):
        parts.append(f"\n## `{name}`: {title}\n\n{schema[name]['description']}\n\n{_table(schema[name], name)}")
        for path, child in _objects(schema[name], name):
            parts.append(f"\n### `{path}`\n\n{child.get('description', '')}\n\n{_table(child, path)}")
    return "".join(parts)


def _objects(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every object below `schema` that has fields of its own, with its path."""
    for name, child in schema.get("properties", {}).items():
        inner, here = (child["items"], f"{path}.{name}[]") if child["type"] == "array" else (child, f"{path}.{name}")
        if "properties" in inner:
            yield here, inner
            yield from _objects(inner, here)


def _table(schema: Schema, path: str) -> str:
    required = schema.get("required", [])
    if path.startswith("status"):
        rows = ["| field | type | meaning |", "|---|---|---|"]
        rows += [f"| `{name}` | {_type(child)} | {_meaning(child)} |" for name, child in schema["properties"].items()]
    else:
        rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
        for name, child in schema["properties"].items():
            default = "required" if name in required else _default(child)
            rows.append(f"| `{name}` | {_type(child)} | {default} | {_meaning(child)} |")
    return "\n".join(rows) + "\n"


def _type(schema: Schema) -> str:
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{schema['type']}, {low} to {high}"
    return str(schema["type"])


def _default(schema: Schema) -> str:
    value = schema.get("default")
    if isinstance(value, list):
        return ", ".join(f"`{entry}`" for entry in (" ".join(f"{k}: {v}" for k, v in item.items()) for item in value))
    if isinstance(value, dict) or value is None:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _meaning(schema: Schema) -> str:
    rules = [rule["message"] for rule in schema.get("x-kubernetes-validations", [])]
    text = schema.get("description") or schema.get("items", {}).get("description") or ""
    return (
        " ".join([text, *(f"({rule})" for rule in rules if schema["type"] == "array" or "immutable" in rule)]).replace("|", "\\|").strip()
    )


def main() -> int:
    """Write the page, or with --check compare it; 1 on drift."""
    parser = argparse.ArgumentParser(prog="python -m canaryrollout.api.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare the page with the models instead of writing it")
    parser.add_argument("--root", type=Path, default=Path(), help="root of the repository (default: the working directory)")
    arguments = parser.parse_args()
    path = arguments.root / PAGE
    if not arguments.check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(), encoding="utf-8")
        return 0
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    difference = difflib.unified_diff(found.splitlines(True), page().splitlines(True), fromfile=PAGE, tofile=f"{PAGE} (from the models)")
    text = "".join(difference)
    sys.stdout.write(text)
    return 1 if text else 0


if __name__ == "__main__":
    sys.exit(main())
