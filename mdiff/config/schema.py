"""The keys of a config, and the few values that some of them may have."""

GROUPS = ("model", "scheduler", "precision", "memory", "prompt", "device", "output", "engine")
SETTINGS = (
    "steps",
    "guidance",
    "guidance_rescale",
    "guidance_interval",
    "seed",
    "num_images",
    "width",
    "height",
)
CONDUCT = (
    "name",
    "resume",
    "on_error",
    "dry_run",
    "profile",
    "objective",
    "reference",
    "check",
    "expect",
)  # how a cell is run; its pixels do not depend on it
FALLBACKS = {
    "on_oom": ("vae_tiling", "attention_slicing", "halve_batch"),
    "on_nan": ("vae_fp32",),
}  # what may be done in place of failing, where the config says so
PRECISIONS = ("auto", "fp32", "fp16", "bf16")
OBJECTIVES = ("seconds", "evaluations", "distance")
DEVICES = ("auto", "cpu", "ascend")
# Where neither the config nor the model's own file says anything.
STEPS, GUIDANCE = 20, 5.0
SEED_BELOW = 2**63
