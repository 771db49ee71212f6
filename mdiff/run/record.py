"""`record.json`: what was requested, what was in effect, what came out and what it cost."""

from collections.abc import Mapping, Sequence
from typing import Any

from mdiff.run.environment import git_state, peak_rss_mb, versions
from mdiff.run.plan import PlannedCell
from mdiff.run.png import RECIPE_SCHEMA

RECORD_SCHEMA = 1


def effective(cell: PlannedCell, batch: int, substitutions: Sequence[str], vae: str | None = None) -> dict[str, Any]:
    """What was in effect, as against what was requested; `vae` is the VAE's number format where it was replaced."""
    precision = cell.precision
    return {
        "device": cell.device.name,
        "precision": {"weights": precision.weights, "compute": precision.compute, "vae": vae or precision.vae},
        "scheduler": type(cell.scheduler).__name__,
        "timesteps": [float(t) for t in cell.table.t],
        "evaluations": len(cell.table),
        "batch": batch,
        "substitutions": [*precision.substitutions, *substitutions],
    }


def recipe(cell: PlannedCell, image: Mapping[str, Any], in_effect: Mapping[str, Any]) -> dict[str, Any]:
    """What an image carries: enough to make it again and to check that it is the same. No times, no paths of a run."""
    return {
        "schema": RECIPE_SCHEMA,
        "config": dict(cell.job.requested),
        "image": dict(image),
        "effective": {key: in_effect[key] for key in ("device", "precision", "scheduler", "evaluations")}
        | ({"substitutions": in_effect["substitutions"]} if in_effect["substitutions"] else {}),
        "weights": cell.description.digests(),
        "versions": versions(),
        "fingerprint": cell.fingerprint,
    }


def record(
    cell: PlannedCell,
    in_effect: Mapping[str, Any],
    images: Sequence[Mapping[str, Any]],
    timing: Mapping[str, float],
    device_peak_mb: float | None,
    error: BaseException | None = None,
    profile: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the record of a cell that is complete, or failed with `error`, with its `CellProfile` where it has one."""
    told = None if error is None else {"type": type(error).__name__, "message": str(error)}
    content = {
        "schema": RECORD_SCHEMA,
        "status": "complete" if error is None else "failed",
        "fingerprint": cell.fingerprint,
        "error": told,
        "requested": dict(cell.job.requested),
        "varies": dict(cell.job.varies),
        "effective": dict(in_effect),
        "images": [dict(image) for image in images],
        "timing": {key: round(value, 6) for key, value in timing.items()},
        "memory": {"peak_rss_mb": peak_rss_mb(), "device_peak_mb": device_peak_mb},
        "weights": cell.description.digests(),
        "versions": versions(),
        "git": git_state(),
    }
    return content if profile is None else content | {"profile": dict(profile)}
