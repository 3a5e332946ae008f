"""Where the programs of the mesh are."""

import os
from pathlib import Path


def ensure(names: list[str]) -> dict[str, Path]:
    folder = Path(os.environ.get("LOCALMESH_BIN", "/tmp/lm/bin"))
    found = {name: folder / name for name in names if name != "envoy"}
    if "envoy" in names:
        import envoy

        found["envoy"] = Path(envoy.__file__).parent / "_bin" / "envoy"
    return found


def istio_crds() -> Path:
    return Path("/tmp/lm/istio-crds.yaml")
