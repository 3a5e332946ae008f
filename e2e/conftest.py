"""Everything below runs inside a local mesh: its fixture `mesh`, and the starting over inside one where there is none."""

pytest_plugins = ["localmesh.pytest_plugin"]
