"""Strings that try a tokenizer: natural, Unicode, emoji, control characters, empty, very long; the same every time."""

import random

_WORDS = (  # noqa: SIM905
    "a an the photo of cat's don't I'LL we've they're he'd I'm 4k 8K ultra-detailed, (masterpiece:1.2), trending on "
    "artstation red apple naïve café Köln façade straße ΑΘΗΝΑ москва 北京 東京タワー 서울 กรุงเทพ "
    "القاهرة שלום हिन्दी ÅNGSTRÖM İstanbul ſtreet "
    "<|startoftext|> <|endoftext|> <|ENDOFTEXT|> <lora:x:0.8> !! !? ... -- __ @user #tag http://x.y/z?q=1&r=2 "
    "½ ² ١٢٣ Ⅷ ① ﬁne e\u0301 A\u030a n\u0303 \u1e9e"
).split()
_EMOJI = "🐱 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ❤️ ☃ 🧑🏿‍🚀 ©️ ⁉️ 1️⃣".split()  # noqa: SIM905
_SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\x0b", "\x85", "\u2028"]


def strings(count: int, seed: int = 0) -> list[str]:
    """Return `count` strings."""
    draw = random.Random(seed)
    kinds = [_natural, _points, _controls, _emoji, _mixed, _long, lambda draw: draw.choice(["", " ", "\n", "\t \n"])]
    return [draw.choices(kinds, weights=[30, 20, 10, 10, 25, 3, 2])[0](draw) for _ in range(count)]


def _natural(draw):
    return draw.choice(_SPACES[:5]).join(draw.choices(_WORDS, k=draw.randint(1, 20)))


def _points(draw):
    plane = draw.choice([0x7F, 0x24F, 0x2FFF, 0xFFFF, 0x1FFFF, 0x10FFFF])
    points = (draw.randint(1, plane) for _ in range(draw.randint(1, 40)))
    return "".join(chr(point) for point in points if not 0xD800 <= point <= 0xDFFF)


def _controls(draw):
    letters = [chr(draw.choice([*range(1, 32), *range(127, 160), *range(0x200B, 0x2010), *range(0x41, 0x7B)]))]
    return "".join(letters + [chr(draw.choice([*range(1, 32), *range(97, 123)])) for _ in range(draw.randint(0, 30))])


def _emoji(draw):
    return draw.choice(["", " "]).join(draw.choices(_EMOJI + _WORDS[:5], k=draw.randint(1, 12)))


def _mixed(draw):
    parts = [draw.choice([_natural, _points, _emoji])(draw) for _ in range(draw.randint(1, 4))]
    return draw.choice(_SPACES).join(parts)


def _long(draw):
    if draw.random() < 0.3:
        return draw.choice(["a", "é", "猫", "🐱", "!", "1", "ab"]) * draw.randint(100, 3000)
    return " ".join(draw.choices(_WORDS, k=draw.randint(100, 800)))
