"""Write tests/nn/golden.npz from diffusers 0.42.1, transformers 5 and PyTorch 2.13 on the CPU.

    python -m tests.nn.make_golden

Weights and inputs are made again from their seeds, so that only results are stored.
"""

from pathlib import Path

import numpy as np

from tests.nn import reference
from tests.nn.case import TEXTS, UNETS, VAES

GOLDEN = Path(__file__).parent / "golden.npz"


def main() -> None:
    """Compute every case and store it in float32."""
    arrays = {}
    for kind, size in UNETS:
        arrays[f"unet {kind} {size}"] = reference.unet(kind, size)
    for kind, name in TEXTS:
        last, penultimate, pooled = reference.text(kind, name)
        # Every seventh token is enough: each depends on all before it
        arrays[f"last {kind} {name}"] = last[:, ::7]
        arrays[f"penultimate {kind} {name}"] = penultimate[:, ::7]
        arrays[f"pooled {kind} {name}"] = pooled
    for kind in VAES:
        arrays[f"decoded {kind}"], arrays[f"moments {kind}"] = reference.vae(kind)
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    main()
