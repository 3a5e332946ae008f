"""What preflight finds and what it leaves to `istioctl analyze`: the data of the reference, compared with analyze by a test."""

from collections.abc import Mapping
from types import MappingProxyType

from canaryrollout.core.preflight.chain import KINDS

STRUCTURE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ServiceNotFound": ("IST0101", "IST0174"),
        "ServiceWithoutSelector": (),
        "DuplicateVirtualService": ("IST0109",),
        "AmbiguousVirtualService": ("IST0140",),
        "NoRouteToService": (),
        "OnlyOpaqueRoutes": (),
        "DuplicateDestinationRule": (),
        "DestinationRuleMismatch": (),
        "VirtualServiceNameTaken": (),
        "SubsetMismatch": (),
        "SubsetNotFound": ("IST0101",),
    }
)
"""Problems without which nothing else can be looked at (all errors, at rest too), with what analyze calls the same."""

LEFT: Mapping[str, str] = MappingProxyType(
    {
        "IST0002": "deprecated fields work as before",
        "IST0106": "the API server and Istio's webhook refuse such an object before it is stored",
        "IST0108": "annotations do not change routes",
        "IST0128": "about TLS to servers outside the mesh",
        "IST0129": "about TLS to servers outside the mesh",
        "IST0133": "hints of Istio's own validation, given when the object is written",
        "IST0149": "about authentication: the same for both versions",
        "IST0165": "about Gateways that Istio makes for itself",
        "IST0171": "istiod's own verdict in the object's status, which it does not write by default",
    }
)
"""Codes of analyze about VirtualServices and DestinationRules that preflight does not look for, and why."""


def analyzed() -> dict[str, tuple[str, ...]]:
    """For each code of analyze that is looked for, the codes that may stand for it."""
    found: dict[str, list[str]] = {}
    for code, theirs in (*STRUCTURE.items(), *((kind.code, kind.analyze) for kind in KINDS)):
        for name in theirs:
            found.setdefault(name, []).append(code)
    return {name: tuple(codes) for name, codes in sorted(found.items())}
