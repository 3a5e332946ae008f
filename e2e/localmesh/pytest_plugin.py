"""pytest: the fixture `mesh`.

Inside a mesh ($LOCALMESH is set) it attaches to that one. Outside, a pytest run that has collected a test which asks
for it starts over, as `python -m localmesh run -- python -m pytest ...`. Workers of pytest-xdist share the one mesh.
"""

import os
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from localmesh.launcher import python_path
from localmesh.mesh import Mesh
from localmesh.state import ENV

_NEEDED = "localmesh_needed"
_needed = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def mesh() -> Iterator[Mesh]:
    """The running local mesh."""
    attached = Mesh.attach()
    yield attached
    attached.close()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start over inside a mesh when one is needed and there is none."""
    if os.environ.get(ENV) or config.option.collectonly or not _needs_mesh(items):
        return
    output = getattr(config, "workeroutput", None)
    if output is None:
        _start_over(config)
    # Under pytest-xdist only the workers collect; they run nothing and tell the controller why.
    output[_NEEDED] = True
    items.clear()


def _needs_mesh(items: list[pytest.Item]) -> bool:
    return any("mesh" in getattr(item, "fixturenames", ()) for item in items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended."""
    if getattr(node, "workeroutput", {}).get(_NEEDED):
        node.config.stash[_needed] = True


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash.get(_needed, False):
        _start_over(session.config)


def _start_over(config: pytest.Config) -> NoReturn:
    """Replace this process by one that brings up a mesh and runs the same pytest command in it."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        capture.stop_global_capturing()
    print("starting over inside a local mesh", flush=True)
    os.chdir(config.invocation_params.dir)
    pytest_command = [sys.executable, "-m", "pytest", *map(str, config.invocation_params.args)]
    command = [sys.executable, "-m", "localmesh", "run", "--", *pytest_command]
    os.execve(sys.executable, command, os.environ | {"PYTHONPATH": python_path()})
