"""Noise: the stream of a seed, the levels of training and of a run (`schedule`), what networks say (`prediction`)."""

from mdiff.noise.generator import Generator, NoiseSource, SharedNoise, draw, noised

__all__ = ["Generator", "NoiseSource", "SharedNoise", "draw", "noised"]
