"""``python -m mdiff.bench.cell_cost ARGUMENTS``: `python -m mdiff ARGUMENTS`, then what its CPU time went into.

CPU time is that of all threads of the process (`time.process_time`). Told apart are: `load_s` (importing MindSpore,
reading weights), `network_s` (every call of a compiled network, compilation included: prompts, projections,
evaluations, decoding) and `png_s` (Pillow's encoder). What is left is mdiff's own.
"""

import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

SPENT: defaultdict[str, float] = defaultdict(float)
_within: list[str] = []


def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, its CPU time counted under `name` unless it is part of something that is counted already."""

    def run(*arguments: Any, **named: Any) -> Any:
        if _within:
            return call(*arguments, **named)
        _within.append(name)
        began = time.process_time()
        try:
            return call(*arguments, **named)
        finally:
            SPENT[name] += time.process_time() - began
            _within.pop()

    return run


def main() -> int:
    """Run the command with its clocks and print them as a line of JSON."""
    from PIL import Image

    from mdiff.pipeline.session import Session
    from mdiff.sweep.command import run_command

    construct = counted("load_s", Session.__init__)

    def load(*arguments: Any, **named: Any) -> None:
        construct(*arguments, **named)
        from mdiff.pipeline.network import Compiled
        from mdiff.pipeline.parts import Parts

        if not SPENT["patched"]:
            SPENT["patched"] = 1
            for method in ("tensors", "__call__"):
                setattr(Compiled, method, counted("network_s", getattr(Compiled, method)))
            setattr(Parts, "_network", counted("load_s", Parts._network))  # noqa: B010

    setattr(Session, "__init__", load)  # noqa: B010 (mypy knows no other way to replace a method)
    setattr(Image.Image, "save", counted("png_s", Image.Image.save))  # noqa: B010
    status = run_command(sys.argv[1:])
    SPENT.pop("patched", None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": time.process_time(), "peak_mb": peak, **SPENT}), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
