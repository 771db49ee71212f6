"""``python -m mdiff.bench.child COMMAND…``: run a command, then print how long it took and what it used, as JSON."""

import json
import resource
import subprocess
import sys
import time


def main() -> int:
    """Run the command and return its status; the last line on stdout is the measurement."""
    began = time.perf_counter()
    status = subprocess.run(sys.argv[1:]).returncode
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = {"seconds": seconds, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}
    print(json.dumps(told), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
