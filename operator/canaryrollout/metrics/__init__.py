"""The metrics shell: counted slices from Prometheus."""
