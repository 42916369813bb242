"""Every speed that this project claims, measured beside its peer: ``python -m benchmarks``."""
