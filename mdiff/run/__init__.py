"""From validated jobs to files: plan, generate, write, record."""

from mdiff.run.job import Job, PromptPair

__all__ = ["CellOutcome", "Job", "PromptPair", "plan", "run_jobs"]


def __getattr__(name: str):
    # the plan and the runner need numpy and more; a configuration error should not pay for them
    if name in {"run_jobs", "CellOutcome"}:
        from mdiff.run import execute

        return getattr(execute, name)
    if name == "plan":
        from mdiff.run.plan import plan

        return plan
    raise AttributeError(f"module 'mdiff.run' has no attribute {name!r}")
