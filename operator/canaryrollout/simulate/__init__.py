"""The real engine and the whole rollout machine on simulated or historical traffic, without a cluster."""
