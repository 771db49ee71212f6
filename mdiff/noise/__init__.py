"""Host noise: the same seed gives the same picture on every device."""

from mdiff.noise.generator import Generator, NoiseSource, SharedNoise, draw

__all__ = ["Generator", "NoiseSource", "SharedNoise", "draw"]
