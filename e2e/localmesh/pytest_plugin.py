"""pytest: the fixture `mesh`.

Inside a mesh ($LOCALMESH is set) it attaches to that one. Outside, a pytest run that collected a test which asks for
it starts over as `python -m localmesh run -- python -m pytest ...`; workers of pytest-xdist share the one mesh.
"""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from localmesh.launcher import python_path
from localmesh.mesh import Mesh
from localmesh.state import ENV


@pytest.fixture(scope="session")
def mesh() -> Iterator[Mesh]:
    """The running local mesh."""
    attached = Mesh.attach()
    yield attached
    attached.close()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Start over inside a mesh when one is needed and there is none."""
    config = session.config
    outside = not os.environ.get(ENV) and not config.option.collectonly
    if outside and any("mesh" in getattr(item, "fixturenames", ()) for item in session.items):
        pytest.exit("starting over inside a local mesh", returncode=_run_inside(config))


def _run_inside(config: pytest.Config) -> int:
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        capture.suspend_global_capture(in_=True)
    arguments = [str(argument) for argument in config.invocation_params.args]
    command = [sys.executable, "-m", "localmesh", "run", "--", sys.executable, "-m", "pytest", *arguments]
    environment = os.environ | {"PYTHONPATH": python_path()}
    return subprocess.run(command, cwd=config.invocation_params.dir, env=environment, check=False).returncode
