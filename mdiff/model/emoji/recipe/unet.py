"""Stage `unet`: the denoiser and the text encoder together, on latents that were encoded beforehand."""

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from mdiff.model.emoji.recipe.judge import report
from mdiff.model.emoji.recipe.sample import Samples, read_concepts
from mdiff.model.emoji.recipe.trainer import Trainer, build


@dataclass(frozen=True)
class Plan:
    """What the workers need to know: folders, minutes, images a step of each worker, workers, seed."""

    work: Path
    model: Path
    minutes: float
    decay: float = 0.0
    batch: int = 24
    workers: int = 2
    resume_from: Path | None = None
    seed: int = 2


def run(plan: Plan) -> None:
    """Train for `minutes`, the last `decay` minutes with the learning rate falling to nothing; resumes by itself.

    Without a checkpoint in the work folder it begins at the UNet of `resume_from`, an exported model whose other parts
    stand in for the stages before where these were not run, else at a fresh UNet. One process a core with one thread
    each, gradients averaged once a step: on a busy machine that is far ahead of one process whose threads wait for
    each other in every layer.
    """
    if plan.resume_from is not None:
        for part in ("tokenizer", "text_encoder", "vae"):
            if not (plan.work / part).is_dir():
                shutil.copytree(plan.resume_from / part, plan.work / part)
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(worker, args=(plan, f"file://{folder}/store"), nprocs=plan.workers)


def worker(rank: int, plan: Plan, store: str) -> None:
    """The training loop of one process; the first also judges and saves."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=plan.workers)
    ids = CLIPTokenizer.from_pretrained(plan.work / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(plan.work / "text_encoder", dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(plan.work / "vae", torch_dtype=torch.float32).eval()
    torch.manual_seed(plan.seed)
    if plan.resume_from is None:
        unet = build(encoder.config.hidden_size)
    else:
        unet = UNet2DConditionModel.from_pretrained(plan.resume_from / "unet", torch_dtype=torch.float32)
    trainer = Trainer(unet, encoder, ids)
    checkpoint = plan.work / "checkpoint.safetensors"
    if checkpoint.exists():
        trainer.load(checkpoint)
    begun = plan.seed + plan.workers * trainer.step + rank
    torch.manual_seed(begun)
    rng = np.random.default_rng(begun)
    samples = Samples(plan.work, read_concepts(plan.model))
    if rank == 0:
        samples.load_latents(vae)
    torch.distributed.barrier()
    samples.load_latents(vae)
    # The first worker's clock decides for all when to stop and how far the learning rate has fallen.
    clock = torch.zeros(2, dtype=torch.float64)
    start = saved = judged = noted = time.time()
    losses: list[float] = []
    while True:
        elapsed = (time.time() - start) / 60
        clock[0] = min(1.0, (plan.minutes - elapsed) / plan.decay) if plan.decay > 0 else 1.0
        clock[1] = elapsed >= plan.minutes
        torch.distributed.broadcast(clock, 0)
        if clock[1]:
            break
        drawn = [samples.draw(rng) for _ in range(plan.batch)]
        captions = ["" if rng.random() < 0.1 else caption for _, caption in drawn]
        losses.append(trainer.train_step(samples.latents[[row for row, _ in drawn]], captions, rng, float(clock[0])))
        if rank > 0:
            continue
        now = time.time()
        if len(losses) == 100:
            rate = len(losses) * plan.batch * plan.workers / (now - noted)
            print(f"step {trainer.step} {now - start:.0f}s loss {np.mean(losses):.4f} {rate:.1f} images/s", flush=True)
            losses, noted = [], now
        if now - saved > 300:
            trainer.save(checkpoint)
            saved = time.time()
        if now - judged > 1200:
            report(trainer, vae, plan.model, plan.work)
            judged = noted = time.time()
    if rank == 0:
        trainer.save(checkpoint)
        report(trainer, vae, plan.model, plan.work)
    torch.distributed.destroy_process_group()
