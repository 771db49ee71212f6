"""The configs of the little checkpoints: the shapes of Stable Diffusion 1.x, 2.x, XL, Turbo and LCM, narrowed."""

from typing import Any

_CROSS_DOWN, _DOWN, _CROSS_UP, _UP = "CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"
_VERSION = "0.21.0"
VOCABULARY = 520


def _clip(**changes: Any) -> dict[str, Any]:
    return {
        "architectures": ["CLIPTextModel"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "dropout": 0.0,
        "eos_token_id": 2,
        "hidden_act": "quick_gelu",
        "hidden_size": 32,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77,
        "model_type": "clip_text_model",
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "pad_token_id": 1,
        "projection_dim": 24,
        "torch_dtype": "float32",
        "transformers_version": "4.22.0",
        "vocab_size": VOCABULARY,
        **changes,
    }


def _unet(**changes: Any) -> dict[str, Any]:
    return {
        "_class_name": "UNet2DConditionModel",
        "_diffusers_version": _VERSION,
        "act_fn": "silu",
        "attention_head_dim": 4,
        "block_out_channels": [32, 64],
        "center_input_sample": False,
        "cross_attention_dim": 32,
        "down_block_types": [_CROSS_DOWN, _DOWN],
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 4,
        "layers_per_block": 1,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-05,
        "norm_num_groups": 8,
        "out_channels": 4,
        "sample_size": 8,
        "up_block_types": [_UP, _CROSS_UP],
        **changes,
    }


def _vae(**changes: Any) -> dict[str, Any]:
    return {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": _VERSION,
        "act_fn": "silu",
        "block_out_channels": [8, 8, 16, 16],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "in_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "out_channels": 3,
        "sample_size": 64,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        **changes,
    }


def _scheduler(class_name: str, **changes: Any) -> dict[str, Any]:
    return {
        "_class_name": class_name,
        "_diffusers_version": _VERSION,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "num_train_timesteps": 1000,
        "steps_offset": 1,
        "trained_betas": None,
        **changes,
    }


def _index(pipeline: str, scheduler: str, **changes: Any) -> dict[str, Any]:
    return {
        "_class_name": pipeline,
        "_diffusers_version": _VERSION,
        "scheduler": ["diffusers", scheduler],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        **changes,
    }


_SAFETY = {
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
}
_PNDM = _scheduler("PNDMScheduler", clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True)
_EULER_XL = _scheduler(
    "EulerDiscreteScheduler",
    clip_sample=False,
    interpolation_type="linear",
    prediction_type="epsilon",
    sample_max_value=1.0,
    set_alpha_to_one=False,
    skip_prk_steps=True,
    timestep_spacing="leading",
    use_karras_sigmas=False,
)
_EULER_TURBO = {**_EULER_XL, "timestep_spacing": "trailing"}
_UNET_21 = _unet(
    attention_head_dim=[2, 4, 8],
    block_out_channels=[32, 32, 64],
    cross_attention_dim=48,
    down_block_types=[_CROSS_DOWN, _CROSS_DOWN, _DOWN],
    dual_cross_attention=False,
    layers_per_block=2,
    num_class_embeds=None,
    only_cross_attention=False,
    up_block_types=[_UP, _CROSS_UP, _CROSS_UP],
    use_linear_projection=True,
)
_CLIP_21 = _clip(eos_token_id=519, bos_token_id=518, hidden_act="gelu", hidden_size=48, num_attention_heads=3)
_XL = {
    "model_index": _index(
        "StableDiffusionXLPipeline",
        "EulerDiscreteScheduler",
        force_zeros_for_empty_prompt=True,
        text_encoder_2=["transformers", "CLIPTextModelWithProjection"],
        tokenizer_2=["transformers", "CLIPTokenizer"],
    ),
    "scheduler": _EULER_XL,
    "text_encoder": _clip(),
    "text_encoder_2": _clip(
        architectures=["CLIPTextModelWithProjection"], hidden_act="gelu", hidden_size=40, num_attention_heads=5
    ),
    "unet": _unet(
        act_fn="silu",
        addition_embed_type="text_time",
        addition_embed_type_num_heads=64,
        addition_time_embed_dim=16,
        attention_head_dim=[2, 4, 8],
        attention_type="default",
        block_out_channels=[32, 32, 64],
        class_embed_type=None,
        class_embeddings_concat=False,
        conv_in_kernel=3,
        conv_out_kernel=3,
        cross_attention_dim=72,
        cross_attention_norm=None,
        down_block_types=[_DOWN, _CROSS_DOWN, _CROSS_DOWN],
        dual_cross_attention=False,
        encoder_hid_dim=None,
        encoder_hid_dim_type=None,
        mid_block_only_cross_attention=None,
        mid_block_type="UNetMidBlock2DCrossAttn",
        num_attention_heads=None,
        num_class_embeds=None,
        only_cross_attention=False,
        projection_class_embeddings_input_dim=24 + 6 * 16,
        resnet_out_scale_factor=1.0,
        resnet_skip_time_act=False,
        resnet_time_scale_shift="default",
        time_cond_proj_dim=None,
        time_embedding_act_fn=None,
        time_embedding_dim=None,
        time_embedding_type="positional",
        timestep_post_act=None,
        transformer_layers_per_block=[1, 1, 3],
        up_block_types=[_CROSS_UP, _CROSS_UP, _UP],
        upcast_attention=None,
        use_linear_projection=True,
    ),
    "vae": _vae(force_upcast=True, scaling_factor=0.13025, latents_mean=None, latents_std=None),
}

KINDS: dict[str, dict[str, Any]] = {
    # 2 levels, convolutions as projections, pickled-era eos
    "sd15-tiny": {
        "model_index": _index("StableDiffusionPipeline", "PNDMScheduler", **_SAFETY),
        "scheduler": _PNDM,
        "text_encoder": _clip(),
        "unet": _unet(),
        "vae": _vae(),
    },
    # 4 levels like the real one, two layers each
    "sd15-deep": {
        "model_index": _index("StableDiffusionPipeline", "PNDMScheduler", **_SAFETY),
        "scheduler": _PNDM,
        "text_encoder": _clip(),
        "unet": _unet(
            attention_head_dim=2,
            block_out_channels=[16, 32, 48, 48],
            down_block_types=[_CROSS_DOWN, _CROSS_DOWN, _CROSS_DOWN, _DOWN],
            layers_per_block=2,
            up_block_types=[_UP, _CROSS_UP, _CROSS_UP, _CROSS_UP],
        ),
        "vae": _vae(),
    },
    # 3 levels, heads by level, linear projections, exact GELU, v-prediction
    "sd21-tiny": {
        "model_index": _index("StableDiffusionPipeline", "DDIMScheduler", **_SAFETY),
        "scheduler": _scheduler(
            "DDIMScheduler", clip_sample=False, prediction_type="v_prediction", set_alpha_to_one=False
        ),
        "text_encoder": _CLIP_21,
        "unet": {**_UNET_21, "upcast_attention": True},
        "vae": _vae(scaling_factor=0.18215),
    },
    "sd-turbo-tiny": {
        "model_index": _index("StableDiffusionPipeline", "EulerDiscreteScheduler", **_SAFETY),
        "scheduler": _EULER_TURBO,
        "text_encoder": _CLIP_21,
        "unet": _UNET_21,
        "vae": _vae(scaling_factor=0.18215),
    },
    # transformers of unequal depth, two text encoders, sizes as conditions
    "sdxl-tiny": _XL,
    "sdxl-turbo-tiny": {
        **_XL,
        "model_index": {**_XL["model_index"], "_class_name": "StableDiffusionXLPipeline"},
        "scheduler": {**_EULER_TURBO, "_class_name": "EulerAncestralDiscreteScheduler"},
    },
    # the guidance scale as an input of the network
    "lcm-tiny": {
        "model_index": _index("LatentConsistencyModelPipeline", "LCMScheduler", **_SAFETY),
        "scheduler": _scheduler(
            "LCMScheduler",
            clip_sample=False,
            original_inference_steps=50,
            prediction_type="epsilon",
            rescale_betas_zero_snr=False,
            set_alpha_to_one=True,
            timestep_scaling=10.0,
            timestep_spacing="leading",
        ),
        "text_encoder": _clip(),
        "unet": _unet(time_cond_proj_dim=16),
        "vae": _vae(),
    },
}
