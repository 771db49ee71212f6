r"""The prompt grammar of Stable Diffusion web UIs: what is emphasised, and where a new chunk begins.

``(text)`` weighs 1.1 times as much, ``((text))`` 1.21, ``[text]`` 1/1.1, ``(text:1.3)`` 1.3; ``BREAK`` as a word of its
own begins a new chunk; ``\(``, ``\)``, ``\[``, ``\]`` and ``\\`` are the signs themselves. An opening bracket that is
never closed still weighs what follows it, a closing one that was never opened is literal, as in the web UIs.
"""

import re
from dataclasses import dataclass

FACTOR = 1.1
_BREAK = re.compile(r"\s*\bBREAK\b\s*")
_SIGN = re.compile(
    r"\\(?P<escaped>[()\[\]\\])"
    r"|(?P<open>[(\[])"
    r"|:\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)"
    r"|(?P<close>[)\]])"
    r"|(?P<text>[^\\()\[\]:]+|[\\:])"
)


@dataclass(frozen=True)
class Part:
    """A stretch of text with one weight; `chunk` counts the BREAKs before it."""

    text: str
    weight: float
    chunk: int = 0


@dataclass
class _Piece:
    text: str
    weight: float


def parse_emphasis(prompt: str) -> tuple[Part, ...]:
    """Split a prompt into parts of equal weight, neighbours merged; an empty prompt is one empty part."""
    pieces: list[_Piece] = []
    opened: list[tuple[str, int]] = []  # the bracket, and the first piece inside it

    def close(bracket: str, factor: float) -> bool:
        if not opened or opened[-1][0] != bracket:
            return False
        _, first = opened.pop()
        _weigh(pieces[first:], factor)
        return True

    for sign in _SIGN.finditer(prompt):
        kind = sign.lastgroup
        if kind == "open":
            opened.append((sign["open"], len(pieces)))
        elif kind == "weight":
            if not close("(", float(sign["weight"])):
                pieces.append(_Piece(sign[0], 1.0))
        elif kind == "close":
            bracket, factor = ("(", FACTOR) if sign["close"] == ")" else ("[", 1 / FACTOR)
            if not close(bracket, factor):
                pieces.append(_Piece(sign["close"], 1.0))
        else:
            pieces.append(_Piece(sign["escaped"] if kind == "escaped" else sign["text"], 1.0))
    for bracket, first in opened:
        _weigh(pieces[first:], FACTOR if bracket == "(" else 1 / FACTOR)
    return _merge(pieces)


def plain(prompt: str) -> tuple[Part, ...]:
    """The prompt as it stands, every sign literal."""
    return (Part(prompt, 1.0),)


def _weigh(pieces: list[_Piece], factor: float) -> None:
    for piece in pieces:
        piece.weight *= factor


def _merge(pieces: list[_Piece]) -> tuple[Part, ...]:
    """Join neighbours of one weight, then split at BREAK, which counts only where it was not emphasised apart."""
    joined: list[_Piece] = []
    for piece in pieces:
        if joined and joined[-1].weight == piece.weight:
            joined[-1].text += piece.text
        else:
            joined.append(_Piece(piece.text, piece.weight))
    parts: list[Part] = []
    chunk = 0
    for piece in joined:
        for place, text in enumerate(_BREAK.split(piece.text)):
            chunk += place > 0
            if text:
                parts.append(Part(text, piece.weight, chunk))
    return tuple(parts) if parts else (Part("", 1.0),)
