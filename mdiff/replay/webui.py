"""The `parameters` text of Stable Diffusion web UIs: what it says in mdiff's terms, and what it does not say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mdiff.errors import MdiffError
from mdiff.replay.recipe import check_size

# Sampler names without their schedule, and the file of the scheduler group.
SAMPLERS = {
    "Euler": "euler",
    "Euler a": "euler_ancestral",
    "Heun": "heun",
    "LMS": "lms",
    "DDIM": "ddim",
    "DDPM": "ddpm",
    "PLMS": "pndm",
    "UniPC": "unipc",
    "LCM": "lcm",
    "DPM2": "kdpm2",
    "DPM2 a": "kdpm2_ancestral",
    "DPM++ 2M": "dpmpp_2m",
    "DPM++ 2M SDE": "dpmpp_2m_sde",
    "DPM++ SDE": "dpm_sde",
    "DPM++ 2S": "dpmpp_2s",
    "DPM++ 3M": "dpmpp_3m",
}
SCHEDULES = {"karras": "karras", "exponential": "exponential", "beta": "beta"}
# Settings that change the picture and that mdiff does not know; a value listed here is the one that changes nothing.
_UNKNOWN = {
    "Clip skip": "1",
    "Hires upscale": None,
    "Hires steps": None,
    "Denoising strength": None,
    "Face restoration": None,
    "Refiner": None,
    "ControlNet 0": None,
    "Variation seed": None,
    "Tiling": None,
    "Eta": None,
    "ENSD": None,
    "VAE": None,
    "Lora hashes": None,
    "TI hashes": None,
    "Mask blur": None,
    "FreeU Stages": None,
}
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_TAG = re.compile(r"<(lora|lyco|hypernet):[^<>]{1,200}>")


@dataclass(frozen=True)
class Parameters:
    """A parsed text: `overrides` for mdiff's command line, and sentences on what is `unsaid` or not followed."""

    prompt: str
    negative_prompt: str
    overrides: tuple[str, ...]
    unsaid: tuple[str, ...]


def parse_parameters(text: str, image: Path) -> Parameters:
    """Return what the text says; MdiffError where it names no steps, no seed or a sampler that mdiff does not have."""
    prompt, negative, settings = _split(text)
    for name in ("Steps", "Seed"):
        if not settings.get(name, "").isdecimal():
            raise MdiffError(f"the text in {image} is not a web UI's recipe: it has no whole number for {name!r}")
    overrides = [f"steps={_number(settings['Steps'])}", f"seed={_number(settings['Seed'])}"]
    unsaid = []
    scheduler, unclear = _scheduler(settings, image)
    overrides += scheduler
    unsaid += unclear
    try:
        overrides.append(f"guidance={float(settings['CFG scale'])}")
    except (KeyError, ValueError):
        unsaid.append("no guidance (CFG scale) is named: the model's own is taken")
    size = _SIZE.fullmatch(settings.get("Size", ""))
    if size is None:
        unsaid.append("no size is named: the model's own is taken")
    else:
        check_size(int(size[1]), int(size[2]), image)
        overrides += [f"width={int(size[1])}", f"height={int(size[2])}"]
    known = ", ".join(f"{name} {settings[name]}" for name in ("Model", "Model hash") if settings.get(name))
    unsaid.append(f"where the model is: {known if known else 'it is not even named'}; it is the one of model= here")
    if settings.get("RNG", "").upper() != "CPU" and "mdiff" not in settings.get("Version", ""):
        unsaid.append("whether the noise was drawn on the CPU: web UIs mostly draw it on the GPU, another stream")
    for name, harmless in _UNKNOWN.items():
        if name in settings and settings[name] != harmless:
            unsaid.append(f"{name} {settings[name][:60]} is not followed")
    tags = _TAG.findall(prompt)
    if tags:
        unsaid.append(f"{len(tags)} <lora:…> tags in the prompt are left out; give them with model.loras=[…]")
    return Parameters(_TAG.sub("", prompt).strip(), negative, tuple(overrides), tuple(unsaid))


def _split(text: str) -> tuple[str, str, dict[str, str]]:
    """Prompt lines, then a line that begins with ``Negative prompt:``, then one line of settings, the last."""
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    settings = _settings(lines[-1])
    lines = lines[:-1] if "Steps" in settings else lines
    mark = "Negative prompt:"
    start = next((at for at, line in enumerate(lines) if line.startswith(mark)), len(lines))
    negative = "\n".join(lines[start:]).removeprefix(mark).strip()
    return "\n".join(lines[:start]).strip(), negative, settings


def _settings(line: str) -> dict[str, str]:
    """Read ``Steps: 20, Sampler: Euler a, Lora hashes: "a: 1, b: 2"``; a comma inside quotes does not separate."""
    found: dict[str, str] = {}
    for at, part in enumerate(line.split('"')):
        if at % 2:  # inside quotes: the value of the name just before
            if found:
                found[next(reversed(found))] += part
            continue
        for piece in part.split(","):
            name, colon, value = piece.partition(":")
            if colon and name.strip():
                found.setdefault(name.strip(), value.strip())
    return found


def _scheduler(settings: Mapping[str, str], image: Path) -> tuple[list[str], list[str]]:
    name = settings.get("Sampler", "").strip()
    schedule = settings.get("Schedule type", "").strip().lower()
    for word in SCHEDULES:
        if name.lower().endswith(f" {word}"):
            name, schedule = name[: -len(word) - 1], word
    if not name:
        return [], ["no sampler is named: the model's own is taken"]
    if name not in SAMPLERS:
        choices = ", ".join(SAMPLERS)
        raise MdiffError(
            f"the text in {image} names the sampler {name[:60]!r}, which mdiff does not have; of {choices}"
        )
    words = [f"scheduler={SAMPLERS[name]}"]
    if schedule in SCHEDULES:
        return [*words, f"scheduler.sigmas={SCHEDULES[schedule]}"], []
    if schedule in ("", "automatic", "normal", "uniform"):
        return words, []
    return words, [f"the schedule {schedule[:40]!r} is not followed"]


def _number(text: str) -> int:
    return int(text) if len(text) < 20 else 1 << 63  # beyond any range: validation names the key
