"""Where the API server is and who we are: the pod's service account, else a kubeconfig."""

import os
import time
from pathlib import Path

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.incluster_config import (
    SERVICE_CERT_FILENAME,
    SERVICE_HOST_ENV_NAME,
    SERVICE_TOKEN_FILENAME,
    InClusterConfigLoader,
)
from kubernetes.aio.config.kube_config import KubeConfigMerger, load_kube_config
from yaml import YAMLError

_REFRESH_SECONDS = 60.0
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class ConfigError(Exception):
    """There is no usable way to the API server; the message says what was tried."""


_UNUSABLE = (ConfigException, OSError, YAMLError, TypeError, AttributeError)
"""The last two, of a file that is empty or of another form, have nothing to say to people."""


def _unusable(error: Exception) -> ConfigError:
    said = "the kubeconfig is empty, or has another form" if isinstance(error, TypeError | AttributeError) else error
    return ConfigError(f"no usable Kubernetes configuration: {said}")


async def load_configuration(kubeconfig: Path | None = None, context: str | None = None) -> Configuration:
    """An explicit kubeconfig or context wins; then the pod's service account; then $KUBECONFIG or ~/.kube/config.

    Credentials are re-read every minute: projected tokens and those of exec plugins expire. Raises ConfigError.
    """
    configuration = Configuration()
    # No netrc and no environment's proxy between us and the API server; a kubeconfig's proxy-url stays in force.
    configuration.client_session_kwargs = {"trust_env": False}
    try:
        if kubeconfig is None and context is None and os.environ.get(SERVICE_HOST_ENV_NAME):
            InClusterConfigLoader(SERVICE_TOKEN_FILENAME, SERVICE_CERT_FILENAME).load_and_set(configuration)  # type: ignore[no-untyped-call]
        else:
            await _from_kubeconfig(configuration, kubeconfig, context)
    except _UNUSABLE as error:
        raise _unusable(error) from error
    return configuration


def context_namespace(kubeconfig: Path | None = None, context: str | None = None) -> str:
    """The namespace that people mean when they name none: the context's, or the pod's own. Raises ConfigError."""
    if kubeconfig is None and context is None and os.environ.get(SERVICE_HOST_ENV_NAME):
        return _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.is_file() else "default"
    try:
        config = KubeConfigMerger(_files(kubeconfig)).config  # type: ignore[no-untyped-call]
        found = config["contexts"].get_with_name(context or config["current-context"]).value
    except _UNUSABLE as error:
        raise _unusable(error) from error
    return str((found.get("context") or {}).get("namespace") or "default")


def _files(kubeconfig: Path | None) -> str:
    """One kubeconfig, or several separated as in $KUBECONFIG, of which at least one exists."""
    files = str(kubeconfig) if kubeconfig is not None else os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if not any(Path(file).exists() for file in files.split(os.pathsep)):
        raise ConfigError(f"no usable Kubernetes configuration: there is no kubeconfig {files}")
    return files


async def _from_kubeconfig(configuration: Configuration, kubeconfig: Path | None, context: str | None) -> None:
    files = _files(kubeconfig)
    # persist_config would write refreshed tokens back into the user's file.
    loader = await load_kube_config(  # type: ignore[no-untyped-call]
        files, context, client_configuration=configuration, persist_config=False
    )
    loaded = time.monotonic()

    async def refresh(target: Configuration) -> None:
        nonlocal loaded
        if time.monotonic() - loaded >= _REFRESH_SECONDS:
            loaded = time.monotonic()
            await loader.load_and_set(target)

    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]
