"""A real Kubernetes control plane and Istio data plane as plain processes in one network namespace.

etcd, kube-apiserver, kube-controller-manager, istiod, Prometheus and Envoys run as they do in a cluster; only
the kubelet is replaced by a small one that turns pods into processes. Run it with `python -m localmesh`, attach
to it with `Mesh.attach()`, use it from pytest with the fixture `mesh`.
"""

from localmesh.errors import LocalMeshError
from localmesh.mesh import Mesh

__all__ = ["LocalMeshError", "Mesh"]
