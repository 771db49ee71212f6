"""The recipe's own arithmetic: exact normalisation, a schedule that fits its configuration, checkpoints that resume."""

from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def ids(tmp_path_factory):
    from transformers import CLIPTokenizer

    from mdiff.model.emoji.recipe import tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.write(folder, Counter({"red": 3, "apple": 2, "blue": 3}), merge_count=20)
    return CLIPTokenizer.from_pretrained(folder)


def trainer(ids):
    from diffusers import UNet2DConditionModel

    from mdiff.model.emoji.recipe import text
    from mdiff.model.emoji.recipe.trainer import Trainer, build

    torch.manual_seed(0)
    config = {**build(192).config, "block_out_channels": (16, 16, 32), "norm_num_groups": 8}
    return Trainer(UNet2DConditionModel.from_config(config), text.build(ids), ids)


def step(one, seed: int) -> float:
    torch.manual_seed(seed)
    latents = torch.randn(4, 4, 16, 16)
    return one.train_step(latents, ["red apple", "", "a blue apple", "apple"], np.random.default_rng(seed), 1.0)


def test_a_checkpoint_resumes_where_it_stopped(ids, tmp_path):
    first = trainer(ids)
    step(first, 1)
    step(first, 2)
    first.save(tmp_path / "checkpoint.safetensors")
    expected = step(first, 3)
    again = trainer(ids)
    again.load(tmp_path / "checkpoint.safetensors")
    assert again.step == 2
    assert step(again, 3) == pytest.approx(expected, rel=1e-6)
    for (name, old), (_, new) in zip(first.named(), again.named(), strict=True):
        assert torch.allclose(old, new, rtol=1e-5, atol=1e-7), name
        assert torch.allclose(first.average[name], again.average[name], rtol=1e-5, atol=1e-7), name


def test_training_reduces_the_loss_of_one_batch(ids):
    one = trainer(ids)
    losses = [step(one, 5) for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.95 * losses[0]


def test_normalising_changes_latents_and_not_pictures():
    from mdiff.model.emoji.recipe import vae

    torch.manual_seed(0)
    model = vae.build().eval()
    images = torch.rand(8, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = model.decode(model.encode(images).latent_dist.mean).sample
        spread = model.encode(images).latent_dist.std / model.encode(images).latent_dist.mean.std(
            dim=(0, 2, 3), keepdim=True
        )
        vae.normalise(model, images)
        after = model.encode(images).latent_dist
        assert after.mean.mean(dim=(0, 2, 3)).abs().max() < 1e-4
        assert torch.allclose(after.mean.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-4)
        assert torch.allclose(model.decode(after.mean).sample, before, atol=1e-4)
        assert torch.allclose(after.std, spread, rtol=1e-3)


def test_the_schedule_is_the_one_in_the_configuration():
    from diffusers import DDPMScheduler

    from mdiff.model.emoji.recipe.trainer import SCHEDULER, alphas_cumprod

    theirs = DDPMScheduler.from_config(SCHEDULER).alphas_cumprod
    assert torch.allclose(alphas_cumprod().float(), theirs, rtol=1e-4)


def test_training_the_decoder_leaves_the_latent_space_alone(tmp_path):
    from diffusers import AutoencoderKL

    from mdiff.model.emoji.recipe import vae

    rng = np.random.default_rng(0)
    np.save(tmp_path / "rgba.npy", rng.integers(0, 256, (3, 2, 64, 64, 4), dtype=np.uint8))
    torch.manual_seed(0)
    before = vae.build()
    before.save_pretrained(tmp_path / "vae")
    vae.run_decoder(tmp_path, minutes=0.02, batch=2)
    after = AutoencoderKL.from_pretrained(tmp_path / "vae")
    changed = set()
    for (name, old), (_, new) in zip(before.named_parameters(), after.named_parameters(), strict=True):
        if not torch.equal(old, new):
            changed.add(name.partition(".")[0])
    assert changed == {"decoder", "post_quant_conv"}
