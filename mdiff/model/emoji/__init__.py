"""The bundled model: a small latent diffusion model of flat emoji drawings, with its recipe and its evaluation."""
