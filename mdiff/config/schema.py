"""The keys of a config, and the few values that some of them may have."""

GROUPS = ("model", "scheduler", "precision", "prompt", "device", "output", "engine")
SETTINGS = ("steps", "guidance", "seed", "num_images", "width", "height")
CONDUCT = (
    "name",
    "resume",
    "on_error",
    "dry_run",
    "objective",
    "reference",
    "check",
    "expect",
)  # how a cell is run; its pixels do not depend on it
PRECISIONS = ("auto", "fp32", "fp16", "bf16")
OBJECTIVES = ("seconds", "evaluations", "distance")
DEVICES = ("auto", "cpu", "ascend")
# Where neither the config nor the model's own file says anything.
STEPS, GUIDANCE = 20, 5.0
SEED_BELOW = 2**63
