"""Reading the CanaryRollout to simulate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from canaryrollout.api.spec import CanaryRolloutSpec


class ManifestError(Exception):
    """The file holds no valid CanaryRollout; the message says where and why, in one line."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A CanaryRollout as written."""

    namespace: str
    spec: CanaryRolloutSpec


def read(path: Path) -> Manifest:
    """The one CanaryRollout in a YAML file. Raises ManifestError."""
    try:
        documents = list(yaml.safe_load_all(path.read_text()))
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    found = [d for d in documents if isinstance(d, dict) and d.get("kind") == "CanaryRollout"]
    if len(found) != 1:
        raise ManifestError(f"{path} holds {len(found) or 'no'} objects of kind CanaryRollout: give a file with one")
    metadata = found[0].get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    return Manifest(str(namespace or "default"), _parse(path, found[0].get("spec") or {}))


def _parse(path: Path, spec: Any) -> CanaryRolloutSpec:
    try:
        return CanaryRolloutSpec.model_validate(spec)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(("spec", *(str(name) for name in details["loc"])))
        raise ManifestError(f"{path}: {where}: {str(details['msg']).removeprefix('Value error, ')}") from None
