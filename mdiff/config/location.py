"""Where mdiff's own config groups lie."""

from pathlib import Path

import mdiff
from mdiff.errors import MdiffError


def conf_folder() -> Path:
    """Return the absolute folder of `config.yaml`: inside an installed package, beside it in a checkout."""
    package = Path(mdiff.__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise MdiffError(f"mdiff's own config files are missing: neither {package}/conf nor {package.parent}/conf has any")
