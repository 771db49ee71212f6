"""Measures the guide's experiments anew and writes what the README shows of them: the table and the picture.

python -m tests.guide /some/scratch/folder
"""

import re
import subprocess
import sys
from pathlib import Path

from mdiff.report.markdown import HEAD, markdown
from tests.report.screenshot import take

ROOT = Path(__file__).parent.parent
TIPS = sorted(path.stem for path in (ROOT / "conf" / "experiment" / "guide").glob("*.yaml"))
TABLE = re.compile(r"^\| " + r" \| ".join(map(re.escape, HEAD)) + r" \|\n(?:\|.*\n)+", re.MULTILINE)


def main(folder: Path) -> None:
    """Run every experiment into `folder` (which should be new: what is there is kept) and rewrite the README."""
    for tip in TIPS:
        words = [f"experiment=guide/{tip}", f"name=guide/{tip}", f"output.dir={folder}"]
        subprocess.run([sys.executable, "-m", "mdiff", *words], cwd=ROOT, check=True)
    readme = ROOT / "README.md"
    text, count = TABLE.subn(lambda _: markdown(folder / "guide") + "\n", readme.read_text())
    assert count == 1, "the README has one such table"
    readme.write_text(text)
    take(folder / "guide" / "fewer_steps", ROOT / "mdiff" / "report" / "example.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
