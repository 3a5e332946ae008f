"""Transport security between the callers and the service, and limits that answer in its place."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preflight.inputs import subject_of
from canaryrollout.core.preflight.kinds import Check, Kind
from canaryrollout.core.preflight.view import View, key_of, listed, selects
from canaryrollout.core.shapes import mapping, mappings
from canaryrollout.core.snapshot import Raw
from canaryrollout.core.surroundings import namespace_of

PLAINTEXT = Kind(
    "TlsAgainstStrictMtls",
    Severity.ERROR,
    "the Service's pods take only mutual TLS (PeerAuthentication STRICT), and a DestinationRule makes callers speak something else: "
    "every request fails",
    "set tls.mode to ISTIO_MUTUAL there, or leave tls out",
)
LIMITED = Kind(
    "RateLimited",
    Severity.WARNING,
    "an EnvoyFilter on the path limits the rate: its 429 are no failures, they pass for quick, good answers of the canary",
    "exempt the Service from the limit during the rollout, or judge 429 by a custom metric",
)

_LIMITS = ("envoy.filters.http.local_ratelimit", "envoy.filters.http.ratelimit", "filters.http.local_ratelimit", "filters.http.ratelimit")


def tls_fits_the_pods(view: View) -> Iterator[Finding]:
    """What the DestinationRule says about TLS, against what the pods demand."""
    demand = _demand(view)
    if demand is None:
        return
    said = False
    for found in view.policies:
        for path, tls in _tls(found.policy, found.path):
            said = True
            mode = str(tls.get("mode", "DISABLE"))
            if mode != "ISTIO_MUTUAL":
                text = f"callers speak {mode}, while {subject_of(demand)} makes the pods take mutual TLS only"
                yield PLAINTEXT.found(text, found.subject, f"{path}.mode")
    automatic = mapping(view.around.mesh_config).get("enableAutoMtls", True)
    if not said and not automatic:
        text = f"automatic mutual TLS is switched off in the mesh and no tls is set, while {subject_of(demand)} makes the pods demand it"
        yield PLAINTEXT.found(text, view.rule_subject, "spec.trafficPolicy", fix="set trafficPolicy.tls.mode to ISTIO_MUTUAL")


def _tls(policy: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if mapping(policy.get("tls")):
        yield f"{path}.tls", policy["tls"]
    for index, port in enumerate(mappings(policy.get("portLevelSettings"))):
        if mapping(port.get("tls")):
            yield f"{path}.portLevelSettings[{index}].tls", port["tls"]


def _demand(view: View) -> Raw | None:
    """The PeerAuthentication by which the pods take mutual TLS only: of the workload, else the namespace, else the mesh."""
    labels = mapping(mapping(mapping(view.given.snapshot.service).get("spec")).get("selector"))
    best: tuple[int, Raw] | None = None
    for item in view.around.peer_authentications:
        spec = mapping(item.get("spec"))
        selector = mapping(mapping(spec.get("selector")).get("matchLabels"))
        mode = mapping(spec.get("mtls")).get("mode", "UNSET")
        if mode == "UNSET" or (selector and not selects(selector, labels)):
            continue
        own = namespace_of(item) == view.namespace
        if selector and not own:
            continue
        rank = (2 if selector else 1) if own else 0
        if best is None or rank > best[0]:
            best = rank, item
    return best[1] if best is not None and best[1]["spec"]["mtls"]["mode"] == "STRICT" else None


def nothing_limits_the_rate(view: View) -> Iterator[Finding]:
    """EnvoyFilters on the pods, on everything, or on the Gateways that the VirtualService is bound to."""
    labels = mapping(mapping(mapping(view.given.snapshot.service).get("spec")).get("selector"))
    for item in view.around.envoy_filters:
        spec = mapping(item.get("spec"))
        if not _limits(mappings(spec.get("configPatches"))):
            continue
        selector = mapping(mapping(spec.get("workloadSelector")).get("labels"))
        where = _place(view, namespace_of(item), selector, labels)
        if where:
            yield LIMITED.found(f"{subject_of(item)} limits the rate at {where}", subject_of(item), "spec.configPatches")


def _limits(patches: list[Mapping[str, Any]]) -> bool:
    text = json.dumps([mapping(patch.get("patch")).get("value") for patch in patches], default=str)
    return any(name in text for name in _LIMITS)


def _place(view: View, namespace: str, selector: Mapping[str, Any], labels: Mapping[str, Any]) -> str:
    everywhere = namespace == view.around.root_namespace
    if (everywhere or namespace == view.namespace) and selects(selector, labels):
        return f"the pods of Service {view.host.name!r}" if selector or not everywhere else "every proxy of the mesh"
    gateways = [
        key_of(gateway)
        for gateway in view.bound_gateways
        if selector and selects(selector, mapping(mapping(gateway.get("spec")).get("selector")))
    ]
    return f"Gateway {listed(gateways)}" if gateways else ""


CHECKS = (
    Check(tls_fits_the_pods, (PLAINTEXT,), wants=("PeerAuthentication",)),
    Check(nothing_limits_the_rate, (LIMITED,), wants=("EnvoyFilter",)),
)
