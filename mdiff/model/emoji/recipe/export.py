"""Stage `export`: the averaged weights as a Stable Diffusion folder of fp16 safetensors."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

from mdiff.model.emoji.recipe.trainer import SCHEDULER, Trainer, build

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
SAMPLING = {
    "_class_name": "DPMSolverMultistepScheduler",
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    **SCHEDULER,
}


def write_weights(module: torch.nn.Module, path: Path, prefix: str = "") -> None:
    """Save the parameters of a network in half precision, all finite or an error."""
    tensors = {
        prefix + name: value.detach().to(torch.float16).contiguous() for name, value in module.named_parameters()
    }
    broken = [name for name, value in tensors.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(f"weights beyond the range of float16: {broken[:5]}")
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata={"format": "pt"})
    temporary.replace(path)


def write_json(config: dict, path: Path) -> None:
    """Write a configuration without the paths of the machine that made it."""
    kept = {key: value for key, value in config.items() if key != "_name_or_path"}
    path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")


def run_vae(work: Path, model: Path) -> None:
    """Write the autoencoder into the model folder."""
    vae = AutoencoderKL.from_pretrained(work / "vae", torch_dtype=torch.float32)
    (model / "vae").mkdir(exist_ok=True)
    write_json(json.loads(vae.to_json_string()), model / "vae" / "config.json")
    write_weights(vae, model / "vae" / "diffusion_pytorch_model.safetensors")


def run(work: Path, model: Path) -> None:
    """Write tokenizer, configurations and weights of the checkpoint's average into the model folder.

    Without a checkpoint, after the stage `decoder` alone, only the autoencoder is written.
    """
    run_vae(work, model)
    if not (work / "checkpoint.safetensors").exists():
        print("exported the autoencoder; there is no checkpoint of a UNet")
        return
    ids = CLIPTokenizer.from_pretrained(work / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(work / "text_encoder", dtype=torch.float32)
    trainer = Trainer(build(encoder.config.hidden_size), encoder, ids)
    trainer.load(work / "checkpoint.safetensors")
    unet, encoder = trainer.averaged()
    for name in ("tokenizer", "text_encoder", "unet", "scheduler"):
        (model / name).mkdir(exist_ok=True)
    for source in (work / "tokenizer").iterdir():
        shutil.copy(source, model / "tokenizer" / source.name)
    # The type to load into; transformers would otherwise follow the file, and diffusers then mix half and single.
    described = {**encoder.config.to_diff_dict(), "architectures": ["CLIPTextModel"], "dtype": "float32"}
    write_json(described, model / "text_encoder" / "config.json")
    write_json(json.loads(unet.to_json_string()), model / "unet" / "config.json")
    prefix = "" if next(iter(encoder.state_dict())).startswith("text_model.") else "text_model."
    write_weights(encoder, model / "text_encoder" / "model.safetensors", prefix)
    write_weights(unet, model / "unet" / "diffusion_pytorch_model.safetensors")
    write_json(INDEX, model / "model_index.json")
    write_json(SAMPLING, model / "scheduler" / "scheduler_config.json")
    size = sum(path.stat().st_size for path in model.rglob("*.safetensors"))
    print(f"exported step {trainer.step}: {size / 1e6:.1f} MB of weights")
