"""How Istio resolves hosts.

Istio expands a host without dots with the namespace *of the rule*, not of the caller, and takes hosts with dots as they are
(ResolveShortnameToFQDN in pilot/pkg/model/config.go). So Kubernetes' own short forms name.namespace and name.namespace.svc, which occur in
practice, mean the service to their author but lead to a cluster that does not exist (seen with istiod 1.31).
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

    def matches(self, host: object, rule_namespace: str) -> bool:
        """Whether `host`, written in a rule of `rule_namespace`, is this service. What is no string is none."""
        if not isinstance(host, str):
            return False
        if "." not in host:
            return host == self.name and rule_namespace == self.namespace
        return host in (self.fqdn, f"{self.name}.{self.namespace}", f"{self.name}.{self.namespace}.svc")

    def is_short_form(self, host: str) -> bool:
        """Whether `host` means this service in a form that Istio does not resolve."""
        return host in (f"{self.name}.{self.namespace}", f"{self.name}.{self.namespace}.svc")

    def is_covered_by(self, host: str) -> bool:
        """Whether `host` is a wildcard over this service, such as *.shop.svc.cluster.local or *."""
        return host.startswith("*") and self.fqdn.endswith(host[1:])
