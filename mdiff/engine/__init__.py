"""The engine: many images on their way at once, packed into network calls of one compiled shape."""

from mdiff.engine.engine import Engine, Network, Tick
from mdiff.engine.guidance import guide
from mdiff.engine.profile import STOPPED, Evaluation, Stopwatch
from mdiff.engine.trajectory import Trajectory

__all__ = ["STOPPED", "Engine", "Evaluation", "Network", "Stopwatch", "Tick", "Trajectory", "guide"]
