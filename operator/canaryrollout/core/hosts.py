"""How Istio resolves destination hosts.

Istio expands a host without dots with the namespace *of the rule*, not of the caller; hosts with dots are taken as they
are, except that Kubernetes' own short forms name.namespace and name.namespace.svc occur in practice and mean the service.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceHost:
    """A Kubernetes Service as mesh configuration names it."""

    name: str
    namespace: str
    cluster_domain: str = "cluster.local"

    @property
    def fqdn(self) -> str:
        """The name that Envoy clusters and istiod use."""
        return f"{self.name}.{self.namespace}.svc.{self.cluster_domain}"

    def matches(self, host: str, rule_namespace: str) -> bool:
        """Whether `host`, written in a rule of `rule_namespace`, is this service."""
        if "." not in host:
            return host == self.name and rule_namespace == self.namespace
        return host in (self.fqdn, f"{self.name}.{self.namespace}", f"{self.name}.{self.namespace}.svc")
