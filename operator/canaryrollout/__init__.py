"""Progressive canary rollouts on Istio in which every step is proved before the next one."""

__version__ = "0.1.0"
