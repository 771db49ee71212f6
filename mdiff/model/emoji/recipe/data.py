"""Stage `data`: fetch the two npm packages, choose the drawings, render them, write concepts and thumbnails."""

import json
import subprocess
import tarfile
import unicodedata
from pathlib import Path

import numpy as np

from mdiff.model.emoji.recipe import drawing

ICONS = "@iconify-json/fluent-emoji-flat@1.2.6"
TAGS = "emojibase-data@17.0.0"

# Names that people use for a drawing, where the icon set's own name is not the obvious one.
ALIASES = {
    "automobile": "car", "lady-beetle": "ladybug", "honeybee": "bee", "locomotive": "steam train",
    "doughnut": "donut", "hot-beverage": "cup of coffee", "soft-ice-cream": "ice cream cone", "red-apple": "apple",
    "red-heart": "heart", "evergreen-tree": "pine tree", "sauropod": "dinosaur", "wrapped-gift": "gift",
    "hamburger": "burger", "globe-showing-americas": "planet earth", "jack-o-lantern": "pumpkin",
    "french-fries": "fries", "high-voltage": "lightning", "ringed-planet": "planet saturn", "crescent-moon": "moon",
    "spouting-whale": "whale spouting water", "flying-saucer": "ufo", "delivery-truck": "truck",
    "fire-engine": "fire truck", "pile-of-poo": "poop", "drop-of-blood": "blood", "gem-stone": "diamond",
    "graduation-cap": "mortarboard", "billed-cap": "baseball cap", "bullseye": "dart board", "game-die": "dice",
    "artist-palette": "paint palette", "eggplant": "aubergine", "poultry-leg": "chicken leg", "glasses": "spectacles",
    "beer-mug": "beer", "shinto-shrine": "torii gate", "santa-claus": "father christmas", "bathtub": "bath",
    "television": "tv", "mobile-phone": "smartphone", "flashlight": "torch", "tropical-drink": "cocktail",
    "articulated-lorry": "lorry", "passenger-ship": "cruise ship", "racing-car": "race car", "mouse-face": "mouse",
    "monkey-face": "monkey", "black-cat": "dark cat", "hatching-chick": "chick", "couch-and-lamp": "sofa",
    "womans-hat": "lady's hat", "grinning-face": "smiley", "locked": "padlock", "herb": "leaves",
    "droplet": "drop of water", "cloud-with-rain": "rain cloud", "four-leaf-clover": "clover", "violin": "fiddle",
    "gear": "cog", "yarn": "ball of wool", "crying-face": "sad face", "chart-increasing": "line chart",
}  # fmt: skip


def fetch(package: str, folder: Path) -> Path:
    """Return the unpacked npm package, downloading it once with ``npm pack``."""
    target = folder / package.rsplit("@", 1)[0].replace("/", "-").lstrip("@")
    if not (target / "package").is_dir():
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", package, "--silent"], cwd=target, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(target.glob("*.tgz"))) as archive:
            archive.extractall(target, filter="data")
    return target / "package"


def selection() -> list[str]:
    """The chosen icon names, sorted."""
    lines = (Path(__file__).parent / "selection.txt").read_text().splitlines()
    return sorted(name for line in lines if not line.startswith("#") for name in line.split())


def plain(text: str) -> str:
    """Lower case without accents or punctuation, the form that captions have."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return " ".join("".join(letter if letter.isalnum() else " " for letter in folded.replace("'", "")).split())


def concepts(icons: Path, emojibase: Path, names: list[str]) -> list[dict]:
    """Describe each drawing: icon name, captions (the plainest first), tags."""
    code_of: dict[str, str] = {}
    for code, name in json.loads((icons / "chars.json").read_text()).items():
        code_of.setdefault(name, code.replace("-fe0f", ""))
    entries = json.loads((emojibase / "en" / "data.json").read_text())
    entry_of = {entry["hexcode"].lower().replace("-fe0f", ""): entry for entry in entries}
    found = []
    for name in names:
        entry = entry_of[code_of[name]]
        spoken = "pinata" if name == "piata" else plain(name.replace("-", " "))
        captions = [spoken]
        for other in (plain(entry["label"]), plain(ALIASES.get(name, ""))):
            if other and other not in captions and sorted(other.split()) != sorted(spoken.split()):
                captions.append(other)
        tags = [plain(tag) for tag in entry.get("tags", [])]
        tags = list(dict.fromkeys(tag for tag in tags if len(tag) > 2 and not tag.isdigit() and tag not in captions))
        found.append({"icon": name, "captions": captions, "tags": tags[:8]})
    return found


def write_atlas(rgba: np.ndarray, path: Path, columns: int = 32) -> None:
    """Save 16×16 thumbnails with straight alpha, `columns` a row, in the order of the concepts."""
    from PIL import Image

    small = rgba[:, 0].astype(np.float32).reshape(len(rgba), 16, 4, 16, 4, 4).mean(axis=(2, 4)) / 255
    small[..., :3] /= np.maximum(small[..., 3:], 1 / 255)
    tiles = np.round(np.clip(small, 0, 1) * 255).astype(np.uint8)
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * columns, 16, 16, 4), np.uint8)
    sheet[: len(tiles)] = tiles
    sheet = sheet.reshape(rows, columns, 16, 16, 4).transpose(0, 2, 1, 3, 4).reshape(rows * 16, columns * 16, 4)
    Image.fromarray(sheet).save(path, optimize=True)


def run(work: Path, model: Path) -> None:
    """Write ``rgba.npy`` into the work folder, ``concepts.json`` and ``concepts.png`` beside the weights."""
    icons, emojibase = fetch(ICONS, work), fetch(TAGS, work)
    names = selection()
    rgba = drawing.render_all(icons, names)
    np.save(work / "rgba.npy", rgba)
    described = concepts(icons, emojibase, names)
    lines = ",\n".join("  " + json.dumps(concept) for concept in described)
    (model / "concepts.json").write_text(f"[\n{lines}\n]\n")
    write_atlas(rgba, model / "concepts.png")
    print(f"{len(names)} drawings, {sum(len(c['captions']) for c in described)} captions")
