"""What transformers wants to read beside the weights. 给 transformers 看的说明文件。"""

from __future__ import annotations

from typing import Any

from gpt_teacher.config import Config
from gpt_teacher.model import INIT_STD, RMS_NORM_EPS, ROPE_THETA
from gpt_teacher.tokenizer import BOS_ID, EOS_ID, PAD_ID, SPECIAL_TOKENS, UNK_ID, Tokenizer

Json = dict[str, Any]  # a JSON object


def network_config(config: Config, tokenizer: Tokenizer, quantized: bool) -> Json:
    """Describe the network to transformers; learned positions have no class there. 结构说明。"""
    model = config.model
    rope = model.position == "rope"
    described: Json = {
        "architectures": ["ArceeForCausalLM" if rope else "GPTTeacherForCausalLM"],
        "model_type": "arcee" if rope else "gpt_teacher",
        "vocab_size": tokenizer.vocab_size,
        "hidden_size": model.n_embd,
        "intermediate_size": 4 * model.n_embd,
        "num_hidden_layers": model.n_layer,
        "num_attention_heads": model.n_head,
        "num_key_value_heads": model.n_head,
        "head_dim": model.head_dim,
        "max_position_embeddings": model.seq_len,
        "hidden_act": "silu",
        "attention_bias": True,
        "mlp_bias": True,
        "attention_dropout": model.dropout,
        "rms_norm_eps": RMS_NORM_EPS,
        "rope_theta": ROPE_THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "initializer_range": INIT_STD,
        "tie_word_embeddings": True,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": PAD_ID,
        "dtype": "float32",
        "gpt_teacher": {"tokenizer_sha256": tokenizer.fingerprint},
    }
    if quantized:
        described["quantization_config"] = _quantization_config()
    return described


def _quantization_config() -> Json:
    """Describe quantize.py's layout to compressed-tensors. 量化说明。"""
    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    # Without a format of its own, a weight-only group is taken for a packed one.
    group = {"targets": ["Linear"], "weights": weights, "format": "int-quantized"}
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": group},
    }


def generation_config(config: Config) -> Json:
    """Say how to generate: greedily, without tokens that mean nothing. 生成方式。"""
    return {
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": PAD_ID,
        "do_sample": False,
        "max_length": config.model.seq_len,
        "suppress_tokens": [BOS_ID, PAD_ID, UNK_ID],
    }


def tokenizer_config(config: Config) -> Json:
    """Name the tokenizer's class and special tokens. 分词器说明。"""
    bos, eos, pad, unk = SPECIAL_TOKENS
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "pad_token": pad,
        "unk_token": unk,
        "model_max_length": config.model.seq_len,
        "clean_up_tokenization_spaces": False,
    }
