"""Benchmarks on the local mesh: `make bench`."""
