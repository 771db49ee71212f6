"""How long a table of 1000 steps takes to make, for every solver, in milliseconds: the least of several.

    python -m tests.scheduler.time_tables

Plain, then with the highest order and karras sigmas where the solver has them; the training schedule is made before.
"""

import time

from mdiff.scheduler import SCHEDULERS

STEPS, REPEATS = 1000, 9
COSTLY = {
    "solver_order": 3,
    "predictor_order": 4,
    "corrector_order": 4,
    "use_karras_sigmas": True,
    "original_inference_steps": STEPS,
}


def least(name: str, options: dict) -> float:
    taken = []
    for _ in range(REPEATS):
        scheduler = SCHEDULERS[name](**options)
        getattr(scheduler, "training_sigmas", None)
        start = time.perf_counter()
        scheduler.table(STEPS)
        taken.append(time.perf_counter() - start)
    return min(taken) * 1000


def main() -> None:
    print(f"{'solver':34} {'plain':>8} {'costly':>8}  ms")
    for name, solver in SCHEDULERS.items():
        costly = {key: value for key, value in COSTLY.items() if key in solver.defaults}
        plain = {key: value for key, value in costly.items() if key == "original_inference_steps"}
        print(f"{name:34} {least(name, plain):8.1f} {least(name, costly):8.1f}")


if __name__ == "__main__":
    main()
