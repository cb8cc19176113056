"""What factored costs, always beside its peers in the same run: ``python -m benchmarks``."""
