"""The cases that golden files and live comparison share."""

import pytest

# (kind, size): conv and linear projections, 2 to 4 levels, heads by level, odd sizes, SDXL's depths, LCM's condition
UNETS = (
    ("sd15-tiny", "odd"),
    ("sd21-tiny", "even"),
    ("sdxl-tiny", "even"),
    ("sd15-deep", "odd"),
    ("lcm-tiny", "even"),
)
SLOW = ("sd21-tiny", "sd15-deep", "lcm-tiny")  # each compiles for seconds
UNET_PARAMETERS = [pytest.param(kind, size, marks=pytest.mark.slow if kind in SLOW else ()) for kind, size in UNETS]
TEXTS = (
    ("sd15-tiny", "text_encoder"),
    ("sd21-tiny", "text_encoder"),
    ("sdxl-tiny", "text_encoder_2"),
)
VAES = ("sd15-tiny",)
