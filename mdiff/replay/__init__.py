"""From an image back to the run that made it: the recipe is read, checked, run again and compared."""

from mdiff.replay.again import Replay, replay, replay_all
from mdiff.replay.recipe import Recipe

__all__ = ["Recipe", "Replay", "replay", "replay_all"]
