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
from kubernetes.aio.config.kube_config import load_kube_config

_REFRESH_SECONDS = 60.0


class ConfigError(Exception):
    """There is no usable way to the API server; the message says what was tried."""


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
    except (ConfigException, OSError) as error:
        raise ConfigError(f"no usable Kubernetes configuration: {error}") from error
    return configuration


async def _from_kubeconfig(configuration: Configuration, kubeconfig: Path | None, context: str | None) -> None:
    files = str(kubeconfig) if kubeconfig is not None else os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
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
