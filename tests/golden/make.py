#!/usr/bin/env python3
"""Makes the golden models of this folder and their reference logits, with llama.cpp as the independent engine.

    pip install gguf numpy llama-cpp-python
    make.py QUANTIZE LLAMA_COMMIT [NAME ...]     # QUANTIZE: path of a llama-quantize; without names: everything

Every model is random weights around one topic: a block format that all its matrices are stored in, one feature of
the llama family in F32, or another family. See README.md for the definitions.
"""
import ctypes
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

HERE = Path(__file__).resolve().parent
SEED = 20
UNKNOWN, CONTROL, NORMAL = 2, 3, 1  # tokenizer.ggml.token_type
PIECES = ["\u2581"] + [chr(c) for first, n in (("a", 26), ("A", 26), ("0", 10)) for c in range(ord(first), ord(first) + n)] + ["."]
TOKENS = ["<unk>", "<s>", "</s>"] + PIECES  # 67: odd, so that a matrix has rows left over after any tile
PROMPT = [1, 3, 22, 10, 7, 3, 22, 44, 66, 0, 65, 4, 4, 4, 31, 59, 2, 1, 17, 50, 28, 3, 22, 10]


@dataclass
class Shape:
    embd: int
    ff: int
    heads: int
    kv_heads: int
    layers: int = 1
    head_dim: int = 0  # 0: embd / heads
    tied: bool = False
    experts: int = 0
    biases: tuple = ()  # matrices that have one
    head_norms: bool = False
    own_norms: bool = False  # of every head, with weights of its own
    whole_norms: bool = False  # of all heads of a token together
    pre_norms: bool = True
    layer_norms: bool = False  # means are taken away
    norm_biases: bool = False
    gates: bool = True  # of feed-forward networks
    parallel: bool = False  # the feed-forward network sees what attention sees
    post_norms: bool = False
    v_dim: int = 0  # 0: as keys
    sinks: bool = False
    shared: int = 0  # width of an expert that all tokens use
    switched: bool = True  # whether each uses it as far as a switch says
    selection_bias: bool = False  # of experts where they are chosen
    gates_together: bool = False  # gate and up of experts in one tensor
    expert_ff: int = 0  # 0: ff
    gated: bool = False  # attention whose q has gates beside every head
    delta: int = 0  # every so manieth layer attends, the others have Gated DeltaNet
    delta_matrices: int = 4  # what it has for queries, keys, values, gates and rates; fewer make several of these
    conv: tuple = ()  # layers that have a short convolution instead of attention
    stacked: str = ""  # what comes in one tensor each: gate and up, q, k and v ("qkv"), or both ("all")
    mamba: tuple = ()  # layers that have Mamba-2 instead of attention
    alone: tuple = ()  # layers that have a feed-forward network and nothing else, where those that mix tokens have none
    beside: bool = False  # whether layers with Mamba-2 attend, too
    eps: float = 1e-5  # of norms
    n_rot: int = 0  # 0: the whole head
    rope_freqs: bool = False
    long_factors: bool = False  # of the rope, for contexts above the original one and others
    kv_rank: int = 0  # width of the latent that keys and values are made of
    q_rank: int = 0  # width of what queries are made of, beside one
    kinds: tuple = ()  # of Gemma 4's layers: pairs of kv_heads and width of feed-forward networks
    family: str = "llama"
    metadata: dict = field(default_factory=dict)


# k has a tail after every power of two above 8, for the formats without blocks
PLAIN = Shape(embd=40, ff=72, heads=4, kv_heads=2)
# odd numbers of 32-element blocks in a row: 3 and 5
BLOCK_32 = Shape(embd=96, ff=160, heads=6, kv_heads=2)
# blocks of 64 and of 128 elements: odd numbers of them in a row
BLOCK_64 = Shape(embd=192, ff=320, heads=6, kv_heads=2)
BLOCK_128 = Shape(embd=128, ff=384, heads=4, kv_heads=2)
# 256-element blocks: one and two in a row
BLOCK_256 = Shape(embd=256, ff=512, heads=4, kv_heads=1)

FORMATS = {
    "F32": PLAIN, "F16": PLAIN, "BF16": PLAIN,
    "Q4_0": BLOCK_32, "Q4_1": BLOCK_32, "Q5_0": BLOCK_32, "Q5_1": BLOCK_32, "Q8_0": BLOCK_32,
    "IQ4_NL": BLOCK_32, "MXFP4": BLOCK_32,
    "Q2_K": BLOCK_256, "Q3_K": BLOCK_256, "Q4_K": BLOCK_256, "Q5_K": BLOCK_256, "Q6_K": BLOCK_256, "IQ4_XS": BLOCK_256,
    "IQ1_S": BLOCK_256, "IQ1_M": BLOCK_256, "IQ2_XXS": BLOCK_256, "IQ2_XS": BLOCK_256, "IQ2_S": BLOCK_256,
    "IQ3_XXS": BLOCK_256, "IQ3_S": BLOCK_256, "TQ1_0": BLOCK_256, "TQ2_0": BLOCK_256,
    "Q1_0": BLOCK_128, "Q2_0": BLOCK_64,
}  # fmt: skip
# llama-quantize makes most of these only where it has been measured how important weights are: here all are, equally
CODEBOOKS = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
# formats that the gguf package does not dequantize
OF_LLAMA_ALONE = ("Q1_0", "Q2_0")
# llama-quantize names mixtures of formats; with --pure every matrix takes the mixture's main one
MIXTURE = {"MXFP4": "MXFP4_MOE"}


def feature(**changes):
    return Shape(**{"embd": 32, "ff": 48, "heads": 4, "kv_heads": 2, "layers": 2, **changes})


ALL = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
QKV = ALL[:3]
LATENT = {"attention.kv_lora_rank": 20, "attention.key_length": 26, "attention.value_length": 20, "attention.key_length_mla": 16,
          "attention.value_length_mla": 12}  # fmt: skip
MAMBA = {"ssm.conv_kernel": 4, "ssm.inner_size": 64, "ssm.state_size": 16, "ssm.time_step_rank": 4, "ssm.group_count": 2}
GRANITE = {"logit_scale": 3.0, "residual_scale": 0.4, "embedding_scale": 2.5, "attention.scale": 0.2}

FEATURES = {
    "llama-untied": feature(),
    "llama-tied": feature(tied=True),
    "llama-no-gqa": feature(kv_heads=4),
    "llama-mqa": feature(kv_heads=1),
    "llama-head-dim": feature(head_dim=20),
    "llama-biases": feature(biases=ALL),
    "llama-rope-freqs": feature(rope_freqs=True),
    "llama-rope-linear": feature(metadata={"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}),
    "llama-rope-yarn": feature(metadata={"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
                                         "rope.scaling.original_context_length": 64}),
    "llama-experts": feature(ff=32, experts=4, metadata={"expert_count": 4, "expert_used_count": 2}),
    "qwen2": feature(family="qwen2", biases=QKV, tied=True),
    "qwen3": feature(family="qwen3", head_norms=True, head_dim=12),
    "qwen3moe": feature(family="qwen3moe", head_norms=True, head_dim=16, ff=24, experts=6,
                        metadata={"expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24}),
    "smollm3": feature(family="smollm3", layers=4),
    "mistral3": feature(family="mistral3", metadata={
        "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 8,
        "rope.scaling.yarn_log_multiplier": 0.7, "attention.temperature_scale": 0.5}),
    # Of two layers the first is dense. As DeepSeek V2 Lite, with YaRN; and as V3, with queries that grow every 8 positions.
    "deepseek2-lite": feature(family="deepseek2", kv_heads=1, n_rot=6, kv_rank=20, experts=6, expert_ff=16, shared=32, switched=False,
                              metadata={**LATENT, "attention.q_lora_rank": 0, "expert_count": 6, "expert_used_count": 3,
                                        "expert_feed_forward_length": 16, "expert_shared_count": 2, "leading_dense_block_count": 1,
                                        "expert_weights_scale": 1.5, "rope.scaling.type": "yarn", "rope.scaling.factor": 16.0,
                                        "rope.scaling.original_context_length": 8, "rope.scaling.yarn_log_multiplier": 0.0707,
                                        "rope.scaling.attn_factor": 1.2}),
    "deepseek2": feature(family="deepseek2", kv_heads=1, n_rot=6, kv_rank=20, q_rank=24, experts=9, expert_ff=16, shared=16,
                         switched=False, selection_bias=True, metadata={
                             **LATENT, "attention.q_lora_rank": 24, "attention.temperature_scale": 0.5,
                             "attention.temperature_length": 8, "expert_count": 9, "expert_used_count": 3, "expert_group_count": 3,
                             "expert_group_used_count": 2, "expert_feed_forward_length": 16, "expert_shared_count": 1,
                             "leading_dense_block_count": 1, "expert_gating_func": 2, "expert_weights_norm": True,
                             "expert_weights_scale": 2.5}),
    "granite": feature(family="granite", metadata=GRANITE),
    # With experts and heads that are not turned, and dense with heads that are. Norms with an epsilon that counts.
    "granitehybrid": feature(family="granitehybrid", layers=2, mamba=(1,), ff=16, experts=4, shared=24, switched=False, eps=0.05,
                             metadata={**MAMBA, **GRANITE, "rope.scaling.finetuned": False, "expert_count": 4, "expert_used_count": 2,
                                       "expert_shared_feed_forward_length": 24}),
    "granitehybrid-dense": feature(family="granitehybrid", mamba=(0,), eps=0.05, metadata={
        **MAMBA, **GRANITE, "ssm.group_count": 1, "ssm.conv_kernel": 3, "expert_count": 0, "expert_used_count": 0}),
    # Layers that are one of three.
    "nemotron_h": feature(family="nemotron_h", layers=5, mamba=(0, 2), alone=(1, 4), gates=False, head_dim=12, metadata={
        **MAMBA, "ssm.time_step_rank": 2, "ssm.inner_size": 96, "ssm.state_size": 32, "attention.layer_norm_epsilon": 1e-5}),
    "nemotron_h_moe": feature(family="nemotron_h_moe", layers=4, mamba=(0,), alone=(1, 3), gates=False, head_dim=12, ff=24, experts=6,
                              shared=40, switched=False, selection_bias=True, metadata={
                                  **MAMBA, "attention.layer_norm_epsilon": 1e-5, "expert_count": 6, "expert_used_count": 3,
                                  "expert_feed_forward_length": 24, "expert_shared_feed_forward_length": 40, "expert_shared_count": 1,
                                  "expert_weights_norm": True, "expert_weights_scale": 2.5, "expert_group_count": 1}),
    "mamba2": feature(family="mamba2", mamba=(0, 1), heads=0, kv_heads=0, tied=True, metadata=MAMBA),
    "falcon-h1": feature(family="falcon-h1", mamba=(0, 1), beside=True, head_dim=12, metadata=MAMBA),
    # Without norms of groups.
    "falcon-h1-plain": feature(family="falcon-h1", layers=1, mamba=(0,), beside=True, metadata=MAMBA),
    "phi3": feature(family="phi3", stacked="all"),
    "phi3-long": feature(family="phi3", stacked="all", long_factors=True, metadata={
        "rope.scaling.type": "longrope", "rope.scaling.original_context_length": 64, "rope.scaling.attn_factor": 1.2}),
    "gemma3": feature(family="gemma3", head_norms=True, post_norms=True, tied=True, head_dim=12, layers=3,
                      metadata={"attention.sliding_window": 5, "attention.sliding_window_pattern": 2,
                                "final_logit_softcapping": 9.0}),
    "lfm2": feature(family="lfm2", layers=3, head_norms=True, conv=(0, 2), tied=True, metadata={"shortconv.l_cache": 3}),
    "lfm2moe": feature(family="lfm2moe", layers=3, head_norms=True, conv=(0, 2), tied=True, experts=6, expert_ff=24,
                       selection_bias=True, metadata={
                           "shortconv.l_cache": 3, "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24,
                           "leading_dense_block_count": 1, "expert_gating_func": 2}),
    "glm4moe": feature(family="glm4moe", layers=2, biases=QKV, head_dim=12, n_rot=6, experts=6, expert_ff=24, shared=48,
                       switched=False, selection_bias=True, metadata={
                           "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24, "expert_shared_count": 2,
                           "leading_dense_block_count": 1, "expert_gating_func": 2, "expert_weights_norm": True,
                           "expert_weights_scale": 1.5}),
    "glm4moe-norms": feature(family="glm4moe", layers=1, biases=QKV, head_norms=True, head_dim=12, n_rot=6, experts=6,
                             expert_ff=24, shared=24, switched=False, selection_bias=True, metadata={
                                 "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24,
                                 "expert_shared_count": 1, "expert_gating_func": 1, "expert_weights_scale": 2.0}),
    "olmo2": feature(family="olmo2", pre_norms=False, post_norms=True, whole_norms=True),
    "olmo2-windows": feature(family="olmo2", pre_norms=False, post_norms=True, whole_norms=True, metadata={
        "attention.sliding_window": 5, "attention.sliding_window_pattern": [True, False],
        "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 64}),
    "olmoe": feature(family="olmoe", layers=1, kv_heads=4, ff=24, experts=6, whole_norms=True,
                     metadata={"expert_count": 6, "expert_used_count": 3}),
    "granitemoe": feature(family="granitemoe", layers=1, ff=24, experts=6, shared=40, switched=False, metadata={
        "expert_count": 6, "expert_used_count": 3, "expert_shared_feed_forward_length": 40, "logit_scale": 3.0,
        "residual_scale": 0.4, "embedding_scale": 2.5, "attention.scale": 0.2}),
    "qwen2moe": feature(family="qwen2moe", layers=1, biases=QKV, experts=6, expert_ff=24, shared=40, metadata={
        "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24, "expert_shared_feed_forward_length": 40}),
    # Of these, image embeddings would reach the first layers.
    "qwen3vl": feature(family="qwen3vl", head_norms=True, head_dim=16, metadata={"n_deepstack_layers": 2}),
    "qwen3vlmoe": feature(family="qwen3vlmoe", layers=1, head_norms=True, head_dim=16, ff=24, experts=6, metadata={
        "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24, "n_deepstack_layers": 1}),
    # Only models of so many layers have windows.
    "exaone4": Shape(family="exaone4", embd=8, ff=8, heads=2, kv_heads=1, layers=64, pre_norms=False, post_norms=True,
                     head_norms=True, metadata={"attention.sliding_window": 5}),
    "exaone4-global": feature(family="exaone4", pre_norms=False, post_norms=True, head_norms=True, rope_freqs=True),
    "hunyuan-dense": feature(family="hunyuan-dense", head_norms=True, head_dim=12),
    "hunyuan-moe": feature(family="hunyuan-moe", layers=1, head_norms=True, ff=24, experts=6, shared=40, switched=False, metadata={
        "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24, "expert_shared_feed_forward_length": 40}),
    "bailingmoe2": feature(family="bailingmoe2", head_norms=True, n_rot=4, stacked="qkv", experts=9, expert_ff=16, shared=32,
                           switched=False, selection_bias=True, metadata={
                               "expert_count": 9, "expert_used_count": 3, "expert_group_count": 3, "expert_group_used_count": 2,
                               "expert_feed_forward_length": 16, "expert_shared_feed_forward_length": 32, "expert_shared_count": 1,
                               "leading_dense_block_count": 1, "expert_gating_func": 2, "expert_weights_norm": True,
                               "expert_weights_scale": 2.5}),
    "dots1": feature(family="dots1", kv_heads=4, head_norms=True, experts=6, expert_ff=16, shared=32, switched=False,
                     selection_bias=True, metadata={
                         "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 16, "expert_shared_count": 2,
                         "leading_dense_block_count": 1, "expert_gating_func": 2, "expert_weights_norm": True,
                         "expert_weights_scale": 2.5}),
    "internlm2": feature(family="internlm2", layers=1),
    "minimax-m2": feature(family="minimax-m2", layers=1, head_dim=12, n_rot=6, whole_norms=True, ff=24, experts=6,
                          selection_bias=True, metadata={"expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24,
                                                         "expert_gating_func": 2}),
    "smallthinker": feature(family="smallthinker", ff=16, experts=6, metadata={
        "attention.sliding_window": 4096, "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 16,
        "expert_gating_func": 2}),
    # Its first layer is dense and sees all, without sinks.
    "mimo2": feature(family="mimo2", layers=3, head_dim=12, v_dim=8, n_rot=6, kinds=((1, 48), (2, 48), (2, 48)), sinks=True,
                     experts=6, expert_ff=16, selection_bias=True, metadata={
                         "attention.sliding_window": 5, "attention.sliding_window_pattern": [0, 1, 1], "rope.freq_base_swa": 100.0,
                         "attention.value_scale": 0.7, "leading_dense_block_count": 1, "expert_count": 6, "expert_used_count": 3,
                         "expert_feed_forward_length": 16, "expert_gating_func": 2}),
    "qwen2vl": feature(family="qwen2vl", layers=1, biases=QKV, metadata={"rope.dimension_sections": [2, 1, 1, 0]}),
    "minicpm": feature(family="minicpm", metadata={"logit_scale": 3.0, "residual_scale": 0.4, "embedding_scale": 2.5}),
    "deepseek": feature(family="deepseek", experts=6, expert_ff=16, shared=32, switched=False, metadata={
        "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 16, "expert_shared_count": 2,
        "leading_dense_block_count": 1, "expert_weights_scale": 1.0}),
    "bailingmoe": feature(family="bailingmoe", layers=1, experts=6, expert_ff=16, shared=32, switched=False, metadata={
        "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 16, "expert_shared_count": 2,
        "leading_dense_block_count": 0, "expert_weights_scale": 1.5, "expert_weights_norm": True}),
    "apertus": feature(family="apertus", gates=False, head_norms=True, metadata={
        "xielu.alpha_n": [1.5, -1.0], "xielu.alpha_p": [0.9, -0.5], "xielu.beta": [0.5, 0.7], "xielu.eps": [-1e-6, -1e-6]}),
    "arcee": feature(family="arcee", gates=False),
    "seed_oss": feature(family="seed_oss", biases=QKV, head_dim=12),
    "ernie4_5": feature(family="ernie4_5", layers=1, tied=True),
    "ernie4_5-moe": feature(family="ernie4_5-moe", experts=6, expert_ff=24, shared=40, switched=False, selection_bias=True,
                            metadata={"expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24,
                                      "expert_shared_feed_forward_length": 40, "leading_dense_block_count": 1,
                                      "interleave_moe_layer_step": 1}),
    "command-r": feature(family="command-r", tied=True, layer_norms=True, parallel=True, metadata={"logit_scale": 0.7}),
    "cohere2": feature(family="cohere2", tied=True, layer_norms=True, parallel=True, metadata={
        "attention.sliding_window": 5, "attention.sliding_window_pattern": 2, "logit_scale": 0.7}),
    "starcoder2": feature(family="starcoder2", tied=True, layer_norms=True, norm_biases=True, gates=False, biases=ALL),
    "stablelm": feature(family="stablelm", layer_norms=True, norm_biases=True, n_rot=4, biases=QKV),
    "stablelm-parallel": feature(family="stablelm", layers=1, layer_norms=True, norm_biases=True, n_rot=4, parallel=True,
                                 own_norms=True),
    "phi2": feature(family="phi2", layer_norms=True, norm_biases=True, n_rot=4, parallel=True, gates=False, stacked="qkv",
                    biases=(*ALL, "output")),
    "phi2-apart": feature(family="phi2", layers=1, layer_norms=True, norm_biases=True, n_rot=4, parallel=True, gates=False,
                          biases=(*ALL, "output")),
    "gemma": feature(family="gemma", tied=True, head_dim=12),
    "glm4": feature(family="glm4", post_norms=True, stacked="gate", head_dim=12, n_rot=6, biases=QKV),
    "gemma2": feature(family="gemma2", post_norms=True, tied=True, layers=2,
                      metadata={"attention.sliding_window": 5, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 9.0}),
    # Windows of 5 with narrower heads, of which some dimensions turn, and two heads of keys; layers that see all have wider
    # ones, of which few turn, with one head of keys, which makes values, too.
    "gemma4": feature(family="gemma4", head_norms=True, post_norms=True, tied=True, head_dim=16, layers=4, kinds=((2, 48), (1, 48)) * 2,
                      metadata={"attention.sliding_window": 5, "attention.sliding_window_pattern": [True, False] * 2,
                                "attention.key_length_swa": 12, "attention.value_length_swa": 12, "rope.dimension_count_swa": 8,
                                "rope.freq_base_swa": 100.0, "embedding_length_per_layer_input": 0,
                                "final_logit_softcapping": 9.0}),
    "gemma4-e": feature(family="gemma4", head_norms=True, post_norms=True, tied=True, head_dim=16, layers=5,
                        kinds=((1, 48),) * 3 + ((1, 96),) * 2,
                        metadata={"attention.sliding_window": 5, "attention.sliding_window_pattern": [True, True, False, True, False],
                                  "attention.key_length_swa": 8, "attention.value_length_swa": 8, "rope.dimension_count_swa": 8,
                                  "attention.shared_kv_layers": 2, "embedding_length_per_layer_input": 12,
                                  "final_logit_softcapping": 9.0}),
    # Experts beside the feed-forward network.
    "gemma4-experts": feature(family="gemma4", head_norms=True, post_norms=True, tied=True, head_dim=16, layers=2,
                              kinds=((2, 48), (1, 48)), experts=6, expert_ff=24, gates_together=True,
                              metadata={"attention.sliding_window": 5, "attention.sliding_window_pattern": [True, False],
                                        "attention.key_length_swa": 12, "attention.value_length_swa": 12,
                                        "rope.dimension_count_swa": 12, "embedding_length_per_layer_input": 0,
                                        "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24,
                                        "final_logit_softcapping": 9.0}),
    "gpt-oss": feature(family="gpt-oss", layers=3, ff=24, experts=6, sinks=True, biases=ALL,
                       metadata={"expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24,
                                 "attention.sliding_window": 5}),
    "qwen35": feature(family="qwen35", layers=4, head_norms=True, head_dim=16, gated=True, delta=3,
                      metadata={"ssm.conv_kernel": 4, "ssm.inner_size": 64, "ssm.state_size": 16, "ssm.time_step_rank": 4,
                                "ssm.group_count": 2, "full_attention_interval": 3}),
    "qwen35moe": feature(family="qwen35moe", layers=2, head_norms=True, head_dim=16, gated=True, delta=2, ff=24, experts=6,
                         shared=40, metadata={
                             "ssm.conv_kernel": 3, "ssm.inner_size": 32, "ssm.state_size": 16, "ssm.time_step_rank": 2,
                             "ssm.group_count": 2, "full_attention_interval": 2, "expert_count": 6, "expert_used_count": 3,
                             "expert_feed_forward_length": 24, "expert_shared_feed_forward_length": 40}),
}  # fmt: skip
DELTA_HEADS = {"ssm.conv_kernel": 3, "ssm.inner_size": 64, "ssm.state_size": 16, "ssm.time_step_rank": 4, "ssm.group_count": 2}
FEATURES["qwen3next"] = replace(FEATURES["qwen35moe"], family="qwen3next", delta_matrices=3, n_rot=4,
                                metadata={**FEATURES["qwen35moe"].metadata, **DELTA_HEADS})  # fmt: skip
FEATURES["qwen3next-together"] = replace(FEATURES["qwen3next"], delta_matrices=2, metadata={
    **FEATURES["qwen3next"].metadata, "full_attention_interval": 4, "attention.recurrent_layers": [True, False]})  # fmt: skip
FEATURES["qwen35moe-together"] = replace(FEATURES["qwen35moe"], gates_together=True)
# the same weights without the feature: their logits must differ, or the golden values would test nothing
WITHOUT = {
    "llama-biases": {"biases": ()},
    "llama-rope-freqs": {"rope_freqs": False},
    "llama-rope-linear": {"metadata": {}},
    "llama-rope-yarn": {"metadata": {}},
    "qwen2": {"family": "llama"},
    "qwen3": {"family": "llama", "head_norms": False},
    "qwen3moe": {"family": "llama", "head_norms": False},
    "smollm3": {"family": "llama"},
    "mistral3": {"metadata": {}},
    "minicpm": {"family": "llama", "metadata": {}},
    "granite": {"family": "llama", "metadata": {}},
    **{name: {"metadata": {**FEATURES[name].metadata, "residual_scale": 1.0}} for name in ("granitehybrid", "granitehybrid-dense")},
    "falcon-h1": {"family": "llama", "beside": False, "mamba": ()},
    "nemotron_h_moe": {"metadata": {**FEATURES["nemotron_h_moe"].metadata, "expert_weights_scale": 1.0}},
    "phi3": {"family": "llama", "stacked": ""},
    "phi3-long": {"metadata": {}, "long_factors": False},
    "gemma3": {"metadata": {}},
    "glm4moe": {"metadata": {
        "expert_count": 6, "expert_used_count": 3, "expert_feed_forward_length": 24, "expert_shared_count": 2,
        "leading_dense_block_count": 1, "expert_weights_norm": True}},
    "deepseek2-lite": {"metadata": {key: value for key, value in FEATURES["deepseek2-lite"].metadata.items() if "scaling" not in key}},
    "deepseek2": {"metadata": {
        key: value for key, value in FEATURES["deepseek2"].metadata.items() if "group" not in key and "temperature" not in key}},
    "exaone4": {"metadata": {"attention.sliding_window": 256}},
    "hunyuan-dense": {"family": "qwen3"},
    "bailingmoe2": {"metadata": {key: value for key, value in FEATURES["bailingmoe2"].metadata.items() if "group" not in key}},
    "smallthinker": {"metadata": {k: v for k, v in FEATURES["smallthinker"].metadata.items() if "window" not in k}},
    "mimo2": {"metadata": {**FEATURES["mimo2"].metadata, "attention.value_scale": 1.0}, "sinks": False},
    "apertus": {"metadata": {**FEATURES["apertus"].metadata, "xielu.alpha_n": [-1.0, 1.5]}},
    "dots1": {"selection_bias": False},
    "minimax-m2": {"metadata": {**FEATURES["minimax-m2"].metadata, "expert_gating_func": 1}},
    "olmo2": {"pre_norms": True, "post_norms": False, "whole_norms": False, "family": "llama"},
    "olmo2-windows": {"metadata": {
        "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 64}},
    "command-r": {"family": "llama", "layer_norms": False, "parallel": False, "metadata": {}},
    "cohere2": {"metadata": {
        "attention.sliding_window": 256, "attention.sliding_window_pattern": 2, "logit_scale": 0.7}},
    "starcoder2": {"biases": ("attn_output", "ffn_up", "ffn_down")},
    "stablelm": {"n_rot": 0},
    "stablelm-parallel": {"own_norms": False},
    "phi2": {"n_rot": 0},
    "phi2-apart": {"biases": ("attn_output", "ffn_up", "ffn_down", "output")},
    "gemma": {"family": "llama"},
    "glm4": {"n_rot": 0},
    **{name: {"metadata": {**FEATURES[name].metadata, "attention.sliding_window": 256}} for name in ("gemma4", "gemma4-e")},
    "gemma2": {"metadata": {"attention.sliding_window": 5, "attn_logit_softcapping": 1e6, "final_logit_softcapping": 9.0}},
}


def codebook_blocks(values, ty):
    """A matrix in blocks of a codebook format, as ggml makes them."""
    quantize_chunk = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so")).ggml_quantize_chunk
    quantize_chunk.restype = ctypes.c_size_t
    rows, cols = values.shape
    values = np.ascontiguousarray(values)
    blocks = np.zeros((rows, gguf.quants.quant_shape_to_byte_shape(values.shape, ty)[-1]), np.uint8)
    importance = np.ones(cols, np.float32)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (values, blocks, importance)]
    count = [ctypes.c_int64(n) for n in (0, rows, cols)]
    assert quantize_chunk(int(ty), pointers[0], pointers[1], *count, pointers[2]) == blocks.size
    return blocks


def write_f32(path, s: Shape, codebook=None, expanded=False):
    """One F32 model of this shape. Weights depend on the tensor's name, not on which others exist.

    Matrices may be in a codebook format, or what comes of such in F32.
    """
    head = s.head_dim or s.embd // (s.heads or 4)
    single = s.alone or s.family == "mamba2"
    w = gguf.GGUFWriter(path, s.family)
    w.add_vocab_size(len(TOKENS))
    w.add_context_length(256)
    w.add_embedding_length(s.embd)
    w.add_block_count(s.layers)
    mixed = [i not in s.alone for i in range(s.layers)]
    w.add_feed_forward_length([ff for _, ff in s.kinds] if s.kinds else [0 if mixes else s.ff for mixes in mixed] if s.alone else s.ff)
    w.add_head_count(s.heads)
    without = s.conv + (() if s.beside else s.mamba) + s.alone
    kv_heads = [kv for kv, _ in s.kinds] or [0 if i in without else s.kv_heads for i in range(s.layers)]
    w.add_head_count_kv(kv_heads if without or s.kinds else s.kv_heads)
    if s.layer_norms:
        w.add_layer_norm_eps(1e-5)
    else:
        w.add_layer_norm_rms_eps(s.eps)
    w.add_rope_dimension_count(s.n_rot or head)
    w.add_rope_freq_base(10000.0)
    if s.head_dim:
        w.add_key_length(head)
        w.add_value_length(s.v_dim or head)
    if s.family in ("qwen35", "qwen35moe", "qwen3vl", "qwen3vlmoe"):
        w.add_rope_dimension_sections([3, 3, 2, 0])
    for key, value in s.metadata.items():
        if isinstance(value, list):
            w.add_array(key if key.startswith("xielu.") else f"{s.family}.{key}", value)
            continue
        kind = {str: gguf.GGUFValueType.STRING, bool: gguf.GGUFValueType.BOOL, int: gguf.GGUFValueType.UINT32, float: gguf.GGUFValueType.FLOAT32}[type(value)]
        w.add_key_value(f"{s.family}.{key}", value, kind)
    w.add_tokenizer_model("llama")
    w.add_token_list(TOKENS)
    w.add_token_scores([float(-i) for i in range(len(TOKENS))])
    w.add_token_types([UNKNOWN, CONTROL, CONTROL] + [NORMAL] * len(PIECES))
    w.add_unk_token_id(0)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_add_bos_token(True)

    def normal(name, *shape):
        return np.random.default_rng([SEED, *name.encode()]).standard_normal(shape, dtype=np.float32)

    def matrix(name, *shape, gain=1.0):
        values = normal(name, *shape) * np.float32(gain / np.sqrt(shape[-1]))
        if not codebook:
            w.add_tensor(name, values)
        elif expanded:
            w.add_tensor(name, gguf.quants.dequantize(codebook_blocks(values, codebook), codebook))
        else:
            w.add_tensor(name, codebook_blocks(values, codebook), raw_dtype=codebook)

    def vector(name, n, mean, deviation):
        w.add_tensor(name, np.float32(mean) + np.float32(deviation) * normal(name, n))

    def norm(name):
        vector(name + ".weight", s.embd, 1.0, 0.2)
        if s.norm_biases:
            vector(name + ".bias", s.embd, 0.0, 0.3)

    # Activations keep a deviation near 1 from branch to branch, and both branches together are about as large as the
    # embedding they are added to. A tied embedding is smaller, or every token would predict itself.
    matrix("token_embd.weight", len(TOKENS), s.embd, gain=4.0 if s.tied else np.sqrt(s.embd))
    if s.rope_freqs:  # as Llama 3's: high frequencies as they are, low ones slowed down by up to 8
        w.add_tensor("rope_freqs.weight", np.geomspace(1.0, 8.0, head // 2, dtype=np.float32))
    gemma4 = s.family == "gemma4"
    layer_width = s.metadata.get("embedding_length_per_layer_input", 0)
    if gemma4:  # a quarter of the pairs turn
        w.add_tensor("rope_freqs.weight", np.float32([1.0] * (head // 8) + [1e30] * (head // 2 - head // 8)))
    if layer_width:
        matrix("per_layer_token_embd.weight", len(TOKENS), s.layers * layer_width, gain=np.sqrt(s.layers))
        matrix("per_layer_model_proj.weight", s.layers * layer_width, s.embd, gain=np.sqrt(s.embd))
        vector("per_layer_proj_norm.weight", layer_width, 1.0, 0.2)
    stack, biases = [], []
    widest, pattern = head, s.metadata.get("attention.sliding_window_pattern", [])
    own = s.layers - s.metadata.get("attention.shared_kv_layers", 0)
    if s.long_factors:
        w.add_tensor("rope_factors_long.weight", np.geomspace(1.0, 12.0, head // 2, dtype=np.float32))
        w.add_tensor("rope_factors_short.weight", np.geomspace(1.0, 1.5, head // 2, dtype=np.float32))
    for i in range(s.layers):
        delta = s.delta and (i + 1) % s.delta
        conv = i in s.conv
        kv, ff = s.kinds[i] if s.kinds else (s.kv_heads, s.ff)
        windowed = gemma4 and pattern[i]
        head = s.metadata["attention.key_length_swa"] if windowed else widest
        experts = s.experts and i >= s.metadata.get("leading_dense_block_count", 0)
        if conv:
            matrix(f"blk.{i}.shortconv.in_proj.weight", 3 * s.embd, s.embd)
            matrix(f"blk.{i}.shortconv.conv.weight", s.embd, s.metadata["shortconv.l_cache"], gain=1.7)
            matrix(f"blk.{i}.shortconv.out_proj.weight", s.embd, s.embd)
        if i in s.mamba:
            groups, heads, inner, state = (
                s.metadata["ssm." + key] for key in ("group_count", "time_step_rank", "inner_size", "state_size"))
            channels = inner + 2 * groups * state
            matrix(f"blk.{i}.ssm_in.weight", inner + channels + heads, s.embd)
            matrix(f"blk.{i}.ssm_conv1d.weight", channels, s.metadata["ssm.conv_kernel"], gain=1.7)
            vector(f"blk.{i}.ssm_conv1d.bias", channels, 0.0, 0.3)
            w.add_tensor(f"blk.{i}.ssm_a", np.float32(-0.5) - np.float32(0.4) * np.abs(normal(f"blk.{i}.ssm_a", heads, 1)))
            w.add_tensor(f"blk.{i}.ssm_d", np.float32(0.5) + np.float32(0.5) * normal(f"blk.{i}.ssm_d", heads, 1))
            vector(f"blk.{i}.ssm_dt.bias", heads, -1.0, 1.0)
            if not s.beside or s.layers > 1:
                w.add_tensor(f"blk.{i}.ssm_norm.weight", np.squeeze(
                    np.float32(1.0) + np.float32(0.2) * normal(f"blk.{i}.ssm_norm.weight", groups, inner // groups)))
            matrix(f"blk.{i}.ssm_out.weight", s.embd, inner)
        if delta:
            n_k, n_v, dim = (s.metadata["ssm." + key] for key in ("group_count", "time_step_rank", "state_size"))
            channels = (2 * n_k + n_v) * dim
            matrices = {4: (("attn_qkv", channels), ("attn_gate", n_v * dim), ("ssm_alpha", n_v), ("ssm_beta", n_v)),
                        3: (("attn_qkv", channels), ("attn_gate", n_v * dim), ("ssm_ba", 2 * n_v)),
                        2: (("ssm_in", channels + n_v * dim), ("ssm_ba", 2 * n_v))}  # fmt: skip
            for name, rows in matrices[s.delta_matrices]:
                matrix(f"blk.{i}.{name}.weight", rows, s.embd)
            matrix(f"blk.{i}.ssm_conv1d.weight", channels, s.metadata["ssm.conv_kernel"])
            vector(f"blk.{i}.ssm_a", n_v, -0.5, 0.1)
            vector(f"blk.{i}.ssm_dt.bias", n_v, 0.0, 0.5)
            vector(f"blk.{i}.ssm_norm.weight", dim, 1.0, 0.2)
            matrix(f"blk.{i}.ssm_out.weight", s.embd, n_v * dim)
        if s.kv_rank:
            k_dim, v_dim = s.metadata["attention.key_length_mla"], s.metadata["attention.value_length_mla"]
            if s.q_rank:
                matrix(f"blk.{i}.attn_q_a.weight", s.q_rank, s.embd)
                vector(f"blk.{i}.attn_q_a_norm.weight", s.q_rank, 1.0, 0.2)
                matrix(f"blk.{i}.attn_q_b.weight", s.heads * k_dim, s.q_rank, gain=1.5)
            else:
                matrix(f"blk.{i}.attn_q.weight", s.heads * k_dim, s.embd, gain=1.5)
            matrix(f"blk.{i}.attn_kv_a_mqa.weight", s.kv_rank + s.n_rot, s.embd, gain=1.2)
            vector(f"blk.{i}.attn_kv_a_norm.weight", s.kv_rank, 1.0, 0.2)
            matrix(f"blk.{i}.attn_k_b.weight", s.heads, s.kv_rank, k_dim - s.n_rot, gain=1.2)
            matrix(f"blk.{i}.attn_v_b.weight", s.heads, v_dim, s.kv_rank)
            matrix(f"blk.{i}.attn_output.weight", s.embd, s.heads * v_dim)
        for name, rows, k, gain in (
            ("attn_q", s.heads * head, s.embd, 1.2),
            ("attn_k", kv * head, s.embd, 1.2),
            ("attn_v", kv * (s.v_dim or head), s.embd, 1.0),
            ("attn_output", s.embd, s.heads * (s.v_dim or head), 1.0),
            ("ffn_gate", ff, s.embd, 1.0),
            ("ffn_up", ff, s.embd, 1.0),
            ("ffn_down", s.embd, ff, 1.0),
        ):
            if (delta or i in without or s.kv_rank) and name.startswith("attn_") or name == "ffn_gate" and not s.gates:
                continue
            if single and mixed[i] and name.startswith("ffn_"):
                continue
            if gemma4 and (name in ("attn_k", "attn_v") and i >= own or name == "attn_v" and not windowed and not layer_width):
                continue
            if s.gated and name == "attn_q":
                rows *= 2
            has_bias = name in s.biases
            name = f"blk.{i}.{name}"
            part = next((p for p in ("attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up") if name.endswith(p)), None)
            if experts and ".ffn_" in name:
                if gemma4:
                    matrix(name + ".weight", rows, k, gain=gain)
                rows, k = (s.expert_ff if s.expert_ff and n == s.ff else n for n in (rows, k))
                if s.gates_together and part:
                    stack.append(normal(name + "_exps.weight", s.experts, rows, k) * np.float32(gain / np.sqrt(k)))
                    if part == "ffn_up":
                        w.add_tensor(f"blk.{i}.ffn_gate_up_exps.weight", np.concatenate(stack, axis=1))
                        stack = []
                else:
                    matrix(name + "_exps.weight", s.experts, rows, k, gain=gain)
            elif part and s.stacked in ("all", "qkv" if part.startswith("attn") else "gate"):
                stack.append(normal(name + ".weight", rows, k) * np.float32(gain / np.sqrt(k)))
                if has_bias:
                    biases.append(np.float32(0.5) * normal(name + ".bias", rows))
                if part in ("attn_v", "ffn_up"):
                    target = {"attn_v": "attn_qkv", "ffn_up": "ffn_up"}[part]
                    w.add_tensor(f"blk.{i}.{target}.weight", np.concatenate(stack))
                    if biases:
                        w.add_tensor(f"blk.{i}.{target}.bias", np.concatenate(biases))
                    stack, biases = [], []
                continue
            else:
                matrix(name + ".weight", rows, k, gain=gain)
            if has_bias and experts and ".ffn_" in name:
                w.add_tensor(name + "_exps.bias", np.float32(0.5) * normal(name + ".bias", s.experts, rows))
            elif has_bias:
                vector(name + ".bias", rows, 0.0, 0.5)
        if experts and not (single and mixed[i]):
            matrix(f"blk.{i}.ffn_gate_inp.weight", s.experts, s.embd, gain=2.0)
            if gemma4:
                vector(f"blk.{i}.ffn_gate_inp.scale", s.embd, np.sqrt(s.embd), 1.0)
                vector(f"blk.{i}.ffn_down_exps.scale", s.experts, 1.0, 0.4)
                for norm in ("post_ffw_norm_1", "pre_ffw_norm_2", "post_ffw_norm_2"):
                    vector(f"blk.{i}.{norm}.weight", s.embd, 1.0, 0.2)
            if s.selection_bias:
                vector(f"blk.{i}.exp_probs_b.bias", s.experts, 0.0, 0.5)
            if s.shared:
                if s.gates:
                    matrix(f"blk.{i}.ffn_gate_shexp.weight", s.shared, s.embd)
                matrix(f"blk.{i}.ffn_up_shexp.weight", s.shared, s.embd)
                matrix(f"blk.{i}.ffn_down_shexp.weight", s.embd, s.shared)
                if s.switched:
                    vector(f"blk.{i}.ffn_gate_inp_shexp.weight", s.embd, 0.0, 0.3)
            if s.biases and s.family == "gpt-oss":
                vector(f"blk.{i}.ffn_gate_inp.bias", s.experts, 0.0, 0.5)
        if s.head_norms and not delta and not conv:
            vector(f"blk.{i}.attn_q_norm.weight", head, 1.2, 0.3)
            if i < own:
                vector(f"blk.{i}.attn_k_norm.weight", head, 1.2, 0.3)
        if s.own_norms:
            for name, heads in (("q", s.heads), ("k", s.kv_heads)):
                name = f"blk.{i}.attn_{name}_norm.weight"
                w.add_tensor(name, np.float32(1.2) + np.float32(0.3) * normal(name, heads, head))
        if s.whole_norms:
            vector(f"blk.{i}.attn_q_norm.weight", s.heads * head, 1.2, 0.3)
            vector(f"blk.{i}.attn_k_norm.weight", s.kv_heads * head, 1.2, 0.3)
        if gemma4:
            vector(f"blk.{i}.layer_output_scale.weight", 1, 0.8, 0.2)
        if layer_width:
            matrix(f"blk.{i}.inp_gate.weight", layer_width, s.embd)
            matrix(f"blk.{i}.proj.weight", s.embd, layer_width)
            vector(f"blk.{i}.post_norm.weight", s.embd, 1.0, 0.2)
        if s.post_norms:
            norm(f"blk.{i}.post_attention_norm")
            norm(f"blk.{i}.post_ffw_norm")
        if s.pre_norms:
            norm(f"blk.{i}.attn_norm")
        if s.sinks and (s.family != "mimo2" or pattern[i]):
            vector(f"blk.{i}.attn_sinks.weight", s.heads, 1.0, 1.0)
        ffn_norm = "post_attention_norm" if s.family in ("gpt-oss", "glm4moe", "seed_oss") or s.delta else "ffn_norm"
        if s.beside:  # as files have it: its name has no ending
            vector(f"blk.{i}.ffn_norm", s.embd, 1.0, 0.2)
        elif s.pre_norms and not s.parallel and not single:
            norm(f"blk.{i}.{ffn_norm}")
    norm("token_embd_norm" if s.family.startswith("lfm2") else "output_norm")
    if not s.tied:
        matrix("output.weight", len(TOKENS), s.embd, gain=4.0)
    if "output" in s.biases:
        vector("output.bias", len(TOKENS), 0.0, 1.0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def logits(path):
    """float32 [n_tokens, n_vocab], with an F32 KV cache and without fused attention."""
    model = llama_cpp.Llama(str(path), n_ctx=256, n_batch=256, n_ubatch=256, n_threads=1, logits_all=True,
                            type_k=0, type_v=0, flash_attn=False, verbose=False)  # fmt: skip
    model.eval(PROMPT)
    out = np.array(model.scores[: len(PROMPT)], np.float32)
    assert np.isfinite(out).all() and out.std() > 0.5, f"{path}: logits of deviation {out.std()}"
    return out


def nmse(found, expected):
    """Sum of squared differences over sum of squares, both over all tokens and the whole vocabulary."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    return float(((found - expected) ** 2).sum() / (expected**2).sum())


def quantize(program, source, target, mixture):
    subprocess.run([program, "--allow-requantize", "--pure", source, target, mixture], check=True, capture_output=True)


def check_dequantized(quantized, plain, name):
    """A second opinion on llama-quantize's dequantization: the gguf package's, equal to the bit."""
    plain = {t.name: t for t in gguf.GGUFReader(plain).tensors}
    for t in gguf.GGUFReader(quantized).tensors:
        if len(t.shape) > 1:
            assert t.tensor_type.name == name, f"{quantized}: {t.name} is {t.tensor_type.name}"
        ours = gguf.quants.dequantize(t.data, t.tensor_type)
        assert np.array_equal(ours, plain[t.name].data.reshape(ours.shape)), f"{quantized}: {t.name}"


def make_format(name, program, scratch):
    target = HERE / f"{name.lower()}.gguf"
    source, plain = scratch / "source.gguf", scratch / "plain.gguf"
    if name == "F32":
        write_f32(target, FORMATS[name])
        plain = target
    elif name in CODEBOOKS:
        codebook = gguf.GGMLQuantizationType[name]
        write_f32(target, FORMATS[name], codebook)
        write_f32(plain, FORMATS[name], codebook, expanded=True)
    else:
        write_f32(source, FORMATS[name])
        quantize(program, source, target, MIXTURE.get(name, name))
        quantize(program, target, plain, "F32")
    if name not in OF_LLAMA_ALONE:
        check_dequantized(target, plain, name)
    expected = logits(plain)
    return {"format": name, "nmse_llama_cpp": nmse(logits(target), expected)}, expected


def make_feature(name, scratch):
    target = HERE / f"{name}.gguf"
    write_f32(target, FEATURES[name])
    expected = logits(target)
    entry = {"format": "F32", "nmse_llama_cpp": 0.0}
    if name in WITHOUT:
        without = scratch / "without.gguf"
        write_f32(without, Shape(**{**vars(FEATURES[name]), **WITHOUT[name]}))
        entry["nmse_without_feature"] = nmse(logits(without), expected)
        assert entry["nmse_without_feature"] > 1e-2, f"{name}: {entry}"
    return entry, expected


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    program, commit, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    record = HERE / "golden.json"
    models = json.loads(record.read_text())["models"] if names and record.exists() else {}
    for name in names or [*FORMATS, *FEATURES]:
        with tempfile.TemporaryDirectory() as scratch:
            made = make_feature(name, Path(scratch)) if name in FEATURES else make_format(name, program, Path(scratch))
        entry, expected = made
        models[name.lower()] = entry
        np.save(HERE / f"{name.lower()}.npy", expected)
        print(f"{name:18} {os.path.getsize(HERE / f'{name.lower()}.gguf'):8} bytes  {entry}")
    made_with = {"llama_cpp": commit, "llama_cpp_python": llama_cpp.__version__, "numpy": np.__version__}
    record.write_text(json.dumps({"made_with": made_with, "tokens": PROMPT, "n_vocab": len(TOKENS), "models": models}, indent=1) + "\n")


if __name__ == "__main__":
    main()
