"""Benchmarks: mdiff beside diffusers on PyTorch, on the same weights, in one run."""
