"""The controller: kopf events in, reconciled rollouts out."""
