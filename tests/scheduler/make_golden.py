"""Write golden.npz: float64 trajectories of diffusers' schedulers, for comparisons without PyTorch.

    python -m tests.scheduler.make_golden        with torch 2.13.0 and diffusers 0.42.1

Seven steps on the betas of latent diffusion. `paths` are runs of a network for every solver variant, schedule
and prediction type; `responses` are runs on impulses for a few of them, which show every coefficient by itself.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.scheduler.grid import GROUPS, Group
from tests.scheduler.trajectory import SAMPLE, Impulses, lively_network

PINNED = {"torch": "2.13.0", "diffusers": "0.42.1"}
FILE = Path(__file__).with_name("golden.npz")
STEPS = 7


def golden_cases(group: Group) -> list[tuple[dict, str | None]]:
    """Return (options, prediction) of the part of `group` that the golden file holds."""
    betas = group.betas[1:2] if len(group.betas) == 3 else group.betas
    cases = [(options, prediction) for options in group.schedules(betas) for prediction in group.predictions]
    # flow_prediction without flow sigmas amplifies rounding
    return [(o, p) for o, p in cases if p != "flow_prediction" or o.get("use_flow_sigmas")]


def probed(group: Group) -> list[tuple[dict, str | None]]:
    """Return the few cases of `group` that are run on impulses: none where the solver is not linear."""
    if any(group.options.get(key) for key in ("clip_sample", "thresholding")):
        return []
    cases = golden_cases(group)
    return [cases[i] for i in sorted({0, len(cases) // 3, 2 * len(cases) // 3, len(cases) - 1})]


def main() -> None:
    from tests.scheduler.reference import Reference

    for package, pin in PINNED.items():
        if version(package).partition("+")[0] != pin:
            raise SystemExit(f"{package} is {version(package)}, the golden file is made with {pin}")
    paths, responses, names = [], [], []
    for group in GROUPS:
        for options, prediction in golden_cases(group):
            reference = Reference(group.name, options)
            reference.set_timesteps(STEPS, double=True, **group.run_options)
            path = reference.run(prediction, group.step_options, model=lively_network)
            finite = bool(np.isfinite(path).all())  # some of diffusers' runs end in NaN
            paths.append(path.reshape(-1, SAMPLE.size) if finite else np.zeros((0, SAMPLE.size)))
            response = np.zeros((0, 0))
            if finite and (options, prediction) in probed(group):
                impulses = Impulses(len(path), len(path))
                response = reference.run(prediction, group.step_options, impulses.start, impulses.network, impulses)
                response = response.reshape(len(path), -1)[:, : 1 + len(path) + impulses.drawn]
            responses.append(response)
            names.append([GROUPS.index(group), options, prediction, len(paths[-1]), *response.shape])
    flat = np.concatenate([response.ravel() for response in responses])
    np.savez_compressed(FILE, paths=np.concatenate(paths).astype(np.float32), responses=flat, names=json.dumps(names))
    print(f"{len(paths)} paths, {sum(r.size > 0 for r in responses)} responses, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
