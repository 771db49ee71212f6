"""The denoiser, its noise schedule, and one step of its training together with the text encoder."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from mdiff.model.emoji.recipe.text import token_ids

# The end of training noise is nearer to pure noise than Stable Diffusion's (α = 0.015 instead of 0.068): a flat
# background averages over 256 latent pixels, so it would otherwise be readable in the noisiest input.
BETAS = (0.00085, 0.02)
STEPS = 1000
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": BETAS[0],
    "beta_end": BETAS[1],
    "num_train_timesteps": STEPS,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
}


def build(width: int) -> UNet2DConditionModel:
    """A UNet2DConditionModel of three levels, 16×16 to 4×4, that reads text at the lower two."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        cross_attention_dim=width,
        attention_head_dim=4,  # heads, despite the name: 32 channels each at 8×8, 48 at 4×4
        norm_num_groups=16,
    )


def alphas_cumprod() -> torch.Tensor:
    """The schedule's product of 1 − β: (1000,)."""
    roots = torch.linspace(BETAS[0] ** 0.5, BETAS[1] ** 0.5, STEPS, dtype=torch.float64)
    return torch.cumprod(1 - roots**2, dim=0)


def share_gradients(parameters: list[torch.Tensor]) -> None:
    """Replace every worker's gradients by their mean over the workers."""
    gradients = [value.grad for value in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for gradient, piece in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(piece.view(gradient.shape))


@dataclass
class Trainer:
    """Everything that a checkpoint holds, and one step of training."""

    unet: UNet2DConditionModel
    encoder: CLIPTextModel
    ids: CLIPTokenizer
    rate: float = 1e-3
    text_rate: float = 2e-4
    step: int = 0
    average: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unet.to(memory_format=torch.channels_last).train()
        self.encoder.train()
        # Sequences are so short that plain matrix products train faster than the fused attention kernels.
        self.unet.set_attn_processor(AttnProcessor())
        self.encoder.set_attn_implementation("eager")
        groups = [
            {"params": list(self.unet.parameters()), "scale": self.rate},
            {"params": list(self.encoder.parameters()), "scale": self.text_rate},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=self.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
        self.alpha_bar = alphas_cumprod().float()
        if not self.average:
            self.average = {name: value.detach().clone() for name, value in self.named()}

    def named(self) -> list[tuple[str, torch.Tensor]]:
        """Both networks' parameters under one namespace."""
        parts = (("unet", self.unet), ("text_encoder", self.encoder))
        return [(f"{part}.{name}", value) for part, module in parts for name, value in module.named_parameters()]

    def train_step(self, latents: torch.Tensor, captions: list[str], rng: np.random.Generator, factor: float) -> float:
        """Learn from one batch of (n, 4, 16, 16) latents; `factor` scales the learning rate."""
        count = len(latents)
        for group in self.optimiser.param_groups:
            group["lr"] = group["scale"] * factor * min(1.0, (self.step + 1) / 300)
        # Timesteps lean towards noise, where the prompt decides what there will be.
        timesteps = torch.from_numpy((rng.random(count) ** 0.6 * len(self.alpha_bar)).astype(np.int64))
        noise = torch.randn(latents.shape)
        product = self.alpha_bar[timesteps][:, None, None, None]
        alpha, sigma = product.sqrt(), (1 - product).sqrt()
        noisy = (alpha * latents + sigma * noise).contiguous(memory_format=torch.channels_last)
        velocity = alpha * noise - sigma * latents
        with torch.autocast("cpu", torch.bfloat16):
            states = self.encoder(token_ids(self.ids, captions)).last_hidden_state
            out = self.unet(noisy, timesteps, states).sample.float()
        # The velocity loss weighs the error of the predicted latents by SNR + 1; that is clamped at 5 (min-SNR).
        gain = (1 / (1 - product)).clamp(max=5.0) * (1 - product)
        loss = (gain * (out - velocity) ** 2).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [value for _, value in self.named()]
        if torch.distributed.is_initialized():
            share_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimiser.step()
        self.step += 1
        self.update_average()
        return loss.item()

    @torch.no_grad()
    def update_average(self) -> None:
        """Exponential moving average whose memory grows with the training, so that early exports are usable."""
        decay = min(0.9995, (1 + self.step) / (20 + self.step))
        names, values = zip(*self.named(), strict=True)
        torch._foreach_lerp_([self.average[name] for name in names], [value.data for value in values], 1 - decay)

    def save(self, path: Path) -> None:
        """Write weights, average and optimiser state as safetensors, atomically."""
        tensors = {f"weight.{name}": value.detach() for name, value in self.named()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        for name, value in self.named():
            state = self.optimiser.state[value]
            tensors |= {f"{key}.{name}": state[key] for key in ("exp_avg", "exp_avg_sq", "step")}
        tensors = {name: value.contiguous().clone() for name, value in tensors.items()}
        temporary = path.with_suffix(".tmp")
        save_file(tensors, temporary, metadata={"step": str(self.step)})
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Take up a checkpoint that `save` wrote."""
        tensors = load_file(path)
        for name, value in self.named():
            value.data.copy_(tensors[f"weight.{name}"])
            self.average[name].copy_(tensors[f"average.{name}"])
            self.optimiser.state[value] = {
                key: tensors[f"{key}.{name}"].clone(
                    memory_format=torch.preserve_format if key == "step" or value.dim() != 4 else torch.channels_last
                )
                for key in ("exp_avg", "exp_avg_sq", "step")
            }
        self.step = int(next(self.optimiser.state[value]["step"] for _, value in self.named()).item())

    def averaged(self) -> tuple[UNet2DConditionModel, CLIPTextModel]:
        """Copies of both networks that carry the averaged weights."""
        unet = UNet2DConditionModel.from_config(self.unet.config)
        encoder = CLIPTextModel(self.encoder.config)
        for part, module in (("unet", unet), ("text_encoder", encoder)):
            for name, value in module.named_parameters():
                value.data.copy_(self.average[f"{part}.{name}"])
        return unet.to(memory_format=torch.channels_last).eval(), encoder.eval()
