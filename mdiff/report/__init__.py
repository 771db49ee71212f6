"""From folders of results to a page, tables and contact sheets; imports no MindSpore."""

from mdiff.report.comparison import compare
from mdiff.report.compose import build, refresh

__all__ = ["build", "compare", "refresh"]
