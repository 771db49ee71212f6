"""What diffusers and transformers on PyTorch compute for the examples."""

import tempfile

import numpy as np

from tests.checkpoint import make_checkpoint
from tests.nn.example import component, latents, pixels, token_ids, unet_inputs


def load(kind: str, name: str):
    """The component as a PyTorch module, loaded from a checkpoint on disk."""
    import diffusers
    import transformers

    class_name, _ = component(kind, name)
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoint(folder, kind)
        library = transformers if class_name.startswith("CLIP") else diffusers
        return getattr(library, class_name).from_pretrained(folder, subfolder=name).eval()


def unet(kind: str, size: str) -> np.ndarray:
    """One call of the UNet."""
    import torch

    inputs = {key: torch.from_numpy(value) for key, value in unet_inputs(kind, size).items()}
    extra = {}
    if "added" in inputs:
        added = {"text_embeds": inputs["added"][:, :-6], "time_ids": inputs["added"][:, -6:]}
        extra["added_cond_kwargs"] = added
    if "condition" in inputs:
        extra["timestep_cond"] = inputs["condition"]
    with torch.no_grad():
        model = load(kind, "unet")
        return model(inputs["sample"], inputs["timesteps"], inputs["context"], **extra).sample.numpy()


def vae(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Decoded pixels and encoded moments."""
    import torch

    model = load(kind, "vae")
    with torch.no_grad():
        decoded = model.decode(torch.from_numpy(latents())).sample.numpy()
        moments = model.encode(torch.from_numpy(pixels())).latent_dist.parameters.numpy()
    return decoded, moments


def text(kind: str, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Last hidden state, the last layer's input, and the pooled (or projected) state."""
    import torch

    with torch.no_grad():
        result = load(kind, name)(torch.from_numpy(token_ids().astype(np.int64)), output_hidden_states=True)
    pooled = result.text_embeds if hasattr(result, "text_embeds") else result.pooler_output
    return result.last_hidden_state.numpy(), result.hidden_states[-2].numpy(), pooled.numpy()
