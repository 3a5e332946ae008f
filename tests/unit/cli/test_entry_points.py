"""The program and the plugin of kubectl are one, and their help costs little."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def python(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "operator"), "COLUMNS": "120"})
    return done.stdout


def test_the_plugin_s_help_reads_as_kubectl_is_called() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"canaryrollout": "canaryrollout.__main__:main", "kubectl-canary": "canaryrollout.__main__:kubectl"}
    shown = python("from canaryrollout.__main__ import kubectl; kubectl()", "status", "--help")
    assert "Usage: kubectl canary status" in shown


def test_help_imports_neither_models_nor_clients() -> None:
    """Each of them takes longer than all the rest of --help."""
    loaded = python("import sys, canaryrollout.cli.main; print(*sys.modules)").split()
    assert {"pydantic", "kubernetes", "aiohttp", "kopf", "yaml", "asyncio", "canaryrollout.settings"} & set(loaded) == set()


def test_the_operator_still_has_a_flag_for_each_setting() -> None:
    shown = python("from canaryrollout.__main__ import main; main()", "operator", "--help")
    assert "Usage: -c operator" in shown
    assert "--prometheus-url" in shown
