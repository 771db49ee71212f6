"""The keys of CLIP's text encoders."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mdiff.nn.key import Key, check_divides, checked, count, fixed, inert, is_count, number, one_of

# What every configuration of the transformers library may carry; none of it reaches the encoder's arithmetic.
_LIBRARY = (
    "add_cross_attention architectures attention_dropout bad_words_ids begin_suppress_tokens bos_token_id "
    "chunk_size_feed_forward cross_attention_hidden_size decoder_start_token_id diversity_penalty do_sample dropout "
    "dtype early_stopping encoder_no_repeat_ngram_size exponential_decay_length_penalty finetuning_task "
    "forced_bos_token_id forced_eos_token_id gradient_checkpointing id2label initializer_factor initializer_range "
    "is_decoder is_encoder_decoder label2id length_penalty max_length min_length no_repeat_ngram_size num_beam_groups "
    "num_beams num_return_sequences output_attentions output_hidden_states output_scores pad_token_id prefix "
    "problem_type pruned_heads remove_invalid_values repetition_penalty return_dict return_dict_in_generate "
    "sep_token_id suppress_tokens task_specific_params temperature tf_legacy_loss tie_encoder_decoder "
    "tie_word_embeddings tokenizer_class top_k top_p torch_dtype torchscript transformers_version typical_p "
    "use_bfloat16 use_cache"
)

CLIP_TEXT: dict[str, Key] = {
    "model_type": fixed("clip_text_model"),
    "vocab_size": count(49408),
    "hidden_size": count(512),
    "intermediate_size": count(2048),
    "projection_dim": count(512),
    "num_hidden_layers": count(12),
    "num_attention_heads": count(8),
    "max_position_embeddings": count(77),
    "hidden_act": one_of("quick_gelu", "gelu"),
    "layer_norm_eps": number(1e-5),
    "eos_token_id": Key(49407, lambda given: given == 0 or is_count(given), "a token's number"),
    **{key: inert() for key in _LIBRARY.split()},
}


@dataclass(frozen=True)
class CLIPTextConfig:
    """The checked form; `projection_dim` is None where the pooled state is not projected."""

    vocab_size: int
    width: int
    mlp_width: int
    projection_dim: int | None
    layers: int
    heads: int
    positions: int
    activation: str
    eps: float
    eos_token_id: int

    @classmethod
    def parse(cls, config: Mapping[str, Any], name: str = "CLIPTextModel") -> "CLIPTextConfig":
        """Check every key, then what depends on more than one."""
        values = checked(name, CLIP_TEXT, config)
        width, heads = values["hidden_size"], values["num_attention_heads"]
        check_divides(name, "num_attention_heads", heads, "hidden_size", [width])
        return cls(
            vocab_size=values["vocab_size"],
            width=width,
            mlp_width=values["intermediate_size"],
            projection_dim=values["projection_dim"] if name == "CLIPTextModelWithProjection" else None,
            layers=values["num_hidden_layers"],
            heads=heads,
            positions=values["max_position_embeddings"],
            activation=values["hidden_act"],
            eps=values["layer_norm_eps"],
            eos_token_id=values["eos_token_id"],
        )
