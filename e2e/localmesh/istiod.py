"""istiod: its pods, its mesh configuration, and the objects every mesh starts with."""

import shutil
from pathlib import Path

import yaml

from localmesh.addresses import (
    ISTIOD_HTTP_PORT,
    ISTIOD_IPS,
    ISTIOD_MONITORING_PORT,
    ISTIOD_SECURE_XDS_PORT,
    ISTIOD_XDS_PORT,
)
from localmesh.credentials import Credentials
from localmesh.kube import Object
from localmesh.podspec import ADDRESS_ANNOTATION, PROXY_IMAGE
from localmesh.state import Folder
from localmesh.telemetry import envoy_filter

ROOT_NAMESPACE = "istio-system"

_ENVIRONMENT = {
    # Stock Envoy knows neither Istio's filters nor its certificates.
    "ENABLE_CA_SERVER": "false",
    "PILOT_CERT_PROVIDER": "none",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
    # istiod listens on a pod address, where callers must authenticate as in a cluster.
    "ENABLE_DEBUG_ENDPOINT_AUTH": "true",
    "PILOT_ENABLE_ANALYSIS": "false",
}

_MESH_CONFIG = {
    "enableAutoMtls": False,
    "proxyHttpPort": 15080,
    "rootNamespace": ROOT_NAMESPACE,
    "defaultConfig": {"discoveryAddress": f"istiod.{ROOT_NAMESPACE}.svc:{ISTIOD_XDS_PORT}"},
}


class Istiods:
    """Makes the pods of istiod replicas: istiod-0, istiod-1, ..."""

    def __init__(self, folder: Folder, credentials: Credentials) -> None:
        self._credentials = credentials
        self._kubeconfig = credentials.write_kubeconfig(
            folder.path / "istiod.kubeconfig", credentials.tokens["istiod"], "istiod", ROOT_NAMESPACE
        )
        # istiod refuses to watch one file as both its certificate and its CA.
        self._ca = credentials.folder / "istiod-ca.crt"
        shutil.copy(credentials.ca, self._ca)
        self._mesh_config: Path = folder.path / "mesh.yaml"
        self._mesh_config.write_text(yaml.safe_dump(_MESH_CONFIG))

    def pod(self, replica: int) -> Object:
        """Pod of a replica; its address is fixed so that proxies and people know it."""
        ip = ISTIOD_IPS[replica]
        command = [
            "pilot-discovery",
            "discovery",
            f"--kubeconfig={self._kubeconfig}",
            f"--meshConfig={self._mesh_config}",
            f"--secureGRPCAddr={ip}:{ISTIOD_SECURE_XDS_PORT}",
            f"--tlsCertFile={self._credentials.ca}",
            f"--tlsKeyFile={self._credentials.tls_key}",
            f"--caCertFile={self._ca}",
            "--httpsAddr=",
            f"--grpcAddr={ip}:{ISTIOD_XDS_PORT}",
            f"--httpAddr={ip}:{ISTIOD_HTTP_PORT}",
            f"--monitoringAddr={ip}:{ISTIOD_MONITORING_PORT}",
            "--ctrlz_port=0",
        ]
        field = {
            "POD_NAME": "metadata.name",
            "POD_NAMESPACE": "metadata.namespace",
        }
        env: list[Object] = [{"name": name, "value": value} for name, value in _ENVIRONMENT.items()]
        env += [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in field.items()]
        ports = {"http-debug": ISTIOD_HTTP_PORT, "grpc-xds": ISTIOD_XDS_PORT, "monitoring": ISTIOD_MONITORING_PORT}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"istiod-{replica}",
                "namespace": ROOT_NAMESPACE,
                "labels": {"app": "istiod", "istio": "pilot", "istio.io/rev": "default"},
                "annotations": {ADDRESS_ANNOTATION: ip, "sidecar.istio.io/inject": "false"},
            },
            "spec": {
                "terminationGracePeriodSeconds": 2,
                "containers": [
                    {
                        "name": "discovery",
                        "image": "pilot",
                        "command": command,
                        "env": env,
                        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
                        "readinessProbe": {
                            "httpGet": {"path": "/ready", "port": ISTIOD_HTTP_PORT},
                            "periodSeconds": 3,
                        },
                    }
                ],
            },
        }


def namespace() -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ROOT_NAMESPACE}}


def root_objects() -> list[Object]:
    """What the root namespace holds besides istiod's pods."""
    ports = {"grpc-xds": ISTIOD_XDS_PORT, "http-debug": ISTIOD_HTTP_PORT, "http-monitoring": ISTIOD_MONITORING_PORT}
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "istiod",
            "namespace": ROOT_NAMESPACE,
            "labels": {"app": "istiod", "istio": "pilot", "istio.io/rev": "default"},
        },
        "spec": {
            "selector": {"app": "istiod", "istio": "pilot"},
            "ports": [{"name": name, "port": port} for name, port in ports.items()],
        },
    }
    plain_text: Object = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": ROOT_NAMESPACE},
        "spec": {"mtls": {"mode": "DISABLE"}},
    }
    return [service, plain_text, envoy_filter(ROOT_NAMESPACE)]


def injector() -> list[Object]:
    """Adds the container `istio-proxy` to new pods, as Istio's webhook would, but inside the API server.

    Same switches as Istio: namespace label istio-injection=enabled; label or annotation
    sidecar.istio.io/inject=false on a pod keeps it out. The kubelet runs the container as an Envoy.
    """
    name = "sidecar-injector.localmesh"
    off = "sidecar.istio.io/inject"
    policy: Object = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"istio-injection": "enabled"}},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            },
            "matchConditions": [
                {"name": f"{place}-allows", "expression": f"object.metadata.?{place}[?'{off}'].orValue('') != 'false'"}
                for place in ("labels", "annotations")
            ]
            + [{"name": "not-injected", "expression": "!object.spec.containers.exists(c, c.name == 'istio-proxy')"}],
            "mutations": [
                {
                    "patchType": "JSONPatch",
                    "jsonPatch": {
                        "expression": "[JSONPatch{op: 'add', path: '/spec/containers/-', value: "
                        "Object.spec.containers{name: 'istio-proxy', image: '" + PROXY_IMAGE + "'}}]"
                    },
                }
            ],
        },
    }
    binding: Object = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    }
    return [policy, binding]
