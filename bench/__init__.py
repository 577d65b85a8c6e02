"""Benchmarks that print JSON; run each as ``python -m bench.NAME --json``."""
