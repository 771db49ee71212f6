"""What a profiled cell says about its time, by component and by evaluation."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mdiff.engine import Evaluation


class CellProfile:
    """The evaluations of a cell's images, in the order in which the images were finished."""

    def __init__(self) -> None:
        self._evaluations: list[tuple[int, Evaluation]] = []

    def add(self, image: int, evaluations: Sequence[Evaluation]) -> None:
        """Count an image's evaluations."""
        self._evaluations += [(image, each) for each in evaluations]

    def told(self, timing: Mapping[str, float]) -> dict[str, Any]:
        """Return `components`, seconds by part of the work, and `steps`, one entry an evaluation.

        The parts of network calls (time_embedding, context_projection, denoise, guidance, executor, and what is left of
        them) add up to `denoise_s` of `timing`, which has the other components. Where images share network calls, a
        cell has its share by rows, and `rows` says how many the whole call had.
        """
        parts: defaultdict[str, float] = defaultdict(float)
        for _, evaluation in self._evaluations:
            for name, seconds in evaluation.parts.items():
                parts[name] += seconds
        whole = sum(evaluation.seconds for _, evaluation in self._evaluations)
        components = {
            "load": timing["load_s"],
            "compile": timing["compile_s"],
            "encode": timing["encode_s"],
            **parts,
            "other": max(0.0, whole - sum(parts.values())),
            "decode": timing["decode_s"],
            "png": timing["save_s"],
        }
        steps = [
            {
                "image": image,
                "row": each.row,
                "timestep": each.timestep,
                "seconds": round(each.seconds, 6),
                "rows": each.rows,
            }
            for image, each in sorted(self._evaluations, key=lambda pair: (pair[0], pair[1].row))
        ]
        return {"components": {name: round(seconds, 6) for name, seconds in components.items()}, "steps": steps}
