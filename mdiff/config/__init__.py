"""From config files and overrides to validated jobs; the only place, with `mdiff.sweep`, that knows Hydra."""
