"""Raw-dict Kubernetes access."""
