"""Errors that the local mesh reports to a person."""


class LocalMeshError(Exception):
    """Something the person must know about; its text is the whole message."""


class UnsupportedMachineError(LocalMeshError):
    """This machine cannot hold a local mesh; the text names what is missing and points to kind."""

    def __init__(self, missing: str) -> None:
        super().__init__(
            f"the local mesh cannot run here: {missing}. With Docker, the same scenarios run on a kind cluster instead (see e2e/kind)."
        )
