"""What MindSpore reads at its import is set before any test imports it."""

from mdiff.device import prepare_environment

prepare_environment()
