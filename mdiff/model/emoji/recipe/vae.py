"""Stage `vae`: the autoencoder, 64×64×3 to 16×16×4, then latents centred and scaled exactly."""

import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from mdiff.model.emoji.colour import COLOURS, NAMES, WHITE
from mdiff.model.emoji.recipe.drawing import mirror, on_background, recolour


def build() -> AutoencoderKL:
    """An AutoencoderKL of 1.3M parameters; attention in the middle would cost time and buys nothing at 16×16."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def random_images(rgba: np.ndarray, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Draw `count` augmented drawings: (count, 3, 64, 64) in −1…1, channels last in memory."""
    images = np.empty((count, 64, 64, 3), np.float32)
    for i in range(count):
        one = rgba[rng.integers(len(rgba)), int(rng.random() < 0.15)].astype(np.float32) / 255
        if rng.random() < 0.3:
            one = mirror(one)
        if rng.random() < 0.25:
            one = recolour(one, NAMES[rng.integers(len(NAMES))])
        colour = COLOURS[NAMES[rng.integers(len(NAMES))]] if rng.random() < 0.5 else WHITE
        images[i] = on_background(one, colour)
    return torch.from_numpy(images * 2 - 1).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def edges(images: torch.Tensor) -> torch.Tensor:
    """Differences of neighbours, down and across, flattened."""
    down = images[:, :, 1:] - images[:, :, :-1]
    across = images[:, :, :, 1:] - images[:, :, :, :-1]
    return torch.cat([down.flatten(), across.flatten()])


def normalise(vae: AutoencoderKL, images: torch.Tensor) -> None:
    """Fold the latents' mean and deviation into the two 1×1 convolutions, so that latents are standard, exactly.

    The mean half of `quant_conv` becomes (z − m) / s and `post_quant_conv` first undoes it; the log-variance half
    moves by −2 ln s, which keeps the posterior the same distribution.
    """
    with torch.no_grad():
        z = vae.encode(images).latent_dist.mean.float()
        mean, scale = z.mean(dim=(0, 2, 3)), z.std(dim=(0, 2, 3))
        channels = len(mean)
        quant, post = vae.quant_conv, vae.post_quant_conv
        quant.weight[:channels] /= scale[:, None, None, None]
        quant.bias[:channels] = (quant.bias[:channels] - mean) / scale
        quant.bias[channels:] -= 2 * scale.log()
        post.bias += (post.weight[:, :, 0, 0] * mean).sum(dim=1)
        post.weight *= scale[None, :, None, None]


def revive(vae: AutoencoderKL, images: torch.Tensor) -> None:
    """Quieten every channel whose posterior is all noise, so that the decoder can come to use it."""
    with torch.no_grad():
        noise = vae.encode(images).latent_dist.std.mean(dim=(0, 2, 3))
        channels = len(noise)
        for dead in torch.nonzero(noise > 0.7).flatten():
            vae.quant_conv.weight[channels + dead] = 0
            vae.quant_conv.bias[channels + dead] = -5.0
            vae.post_quant_conv.weight[:, dead] = torch.randn_like(vae.post_quant_conv.weight[:, dead]) * 0.3


def reconstruction_loss(out: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Mean absolute and squared error, and the error of the edges, which the eye sees first."""
    difference = out - images
    return difference.abs().mean() + difference.square().mean() + (edges(out) - edges(images)).abs().mean()


def psnr(out: torch.Tensor, images: torch.Tensor) -> float:
    """Peak signal to noise of images in −1…1, in dB."""
    return -10 * math.log10((out - images).square().mean().item() / 4)


class Descent:
    """AdamW on a cosine schedule of elapsed time, with a running average of the weights."""

    def __init__(self, module: torch.nn.Module, minutes: float, rate: float):
        self.module, self.seconds, self.rate = module, 60 * minutes, rate
        self.trained = [value for value in module.parameters() if value.requires_grad]
        self.optimiser = torch.optim.AdamW(self.trained, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
        decay = torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
        self.average = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=decay)
        self.begun, self.step = time.time(), 0

    @property
    def elapsed(self) -> float:
        """Share of the time that is gone."""
        return (time.time() - self.begun) / self.seconds

    def descend(self, loss: torch.Tensor) -> None:
        """Take one step down `loss`."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, self.elapsed)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * min(1.0, (self.step + 1) / 100) * (0.02 + 0.98 * cosine)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimiser.step()
        self.average.update_parameters(self.module)
        self.step += 1

    def tell(self, loss: torch.Tensor, decibels: float) -> None:
        """Print a line every hundred steps."""
        if self.step % 100 == 0:
            seconds = time.time() - self.begun
            print(f"{self.step} {seconds:.0f}s loss {loss.item():.4f} psnr {decibels:.2f}", flush=True)


def run(work: Path, minutes: float = 20, batch: int = 16, kl_weight: float = 2e-4, seed: int = 0) -> None:
    """Train for `minutes` on a cosine schedule of elapsed time; write ``vae/`` into the work folder.

    Goes on from the ``vae/`` that is there already. A `kl_weight` of 2e-3 lets one of the four channels collapse to
    noise within minutes; `revive` brings such a channel back.
    """
    rgba = np.load(work / "rgba.npy")
    again = (work / "vae").is_dir()
    vae = AutoencoderKL.from_pretrained(work / "vae", torch_dtype=torch.float32) if again else build()
    vae.to(memory_format=torch.channels_last).train()
    torch.manual_seed(seed + again)
    rng = np.random.default_rng(seed + again)
    if again:
        revive(vae, random_images(rgba, 64, rng))
    descent = Descent(vae, minutes, rate=2e-3)
    while descent.elapsed < 1:
        images = random_images(rgba, batch, rng)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            out = vae.decode(posterior.sample()).sample.float()
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        loss = reconstruction_loss(out, images) + kl_weight * kl
        descent.descend(loss)
        descent.tell(loss, psnr(out, images))
    vae = descent.average.module.eval()
    images = random_images(rgba, 512, rng)
    normalise(vae, images)
    vae.save_pretrained(work / "vae")
    with torch.no_grad():
        z = vae.encode(images).latent_dist.mean
        decibels = psnr(vae.decode(z).sample, images)
    print(f"vae: {descent.step} steps, psnr {decibels:.2f}, mean {z.mean():.3f}, deviation {z.std():.3f}")


def run_decoder(work: Path, minutes: float = 20, batch: int = 16, noise: float = 0.3, seed: int = 3) -> None:
    """Train the decoder alone, for `minutes`, on latents with up to `noise` of deviation added; rewrite ``vae/``.

    The latent space stays as it is, and with it the UNet. A decoder that has seen noise draws flat colours and whole
    edges from latents that a UNet sampled, which are never quite those of a drawing.
    """
    rgba = np.load(work / "rgba.npy")
    vae = AutoencoderKL.from_pretrained(work / "vae", torch_dtype=torch.float32)
    vae.to(memory_format=torch.channels_last).train()
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    descent = Descent(vae, minutes, rate=1e-3)
    while descent.elapsed < 1:
        images = random_images(rgba, batch, rng)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                latents = vae.encode(images).latent_dist.mode().float()
            levels = noise * torch.rand(batch, 1, 1, 1)
            out = vae.decode(latents + levels * torch.randn_like(latents)).sample.float()
        loss = reconstruction_loss(out, images)
        descent.descend(loss)
        descent.tell(loss, psnr(out, images))
    vae = descent.average.module.eval()
    vae.save_pretrained(work / "vae")
    images = random_images(rgba, 512, rng)
    with torch.no_grad():
        decibels = psnr(vae.decode(vae.encode(images).latent_dist.mode()).sample, images)
    print(f"decoder: {descent.step} steps, psnr {decibels:.2f}")
