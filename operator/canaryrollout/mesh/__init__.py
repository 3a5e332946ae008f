"""The mesh shell: reads and writes Istio objects, proves that proxies are in sync."""
