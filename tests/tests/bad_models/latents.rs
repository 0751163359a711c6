//! Files of `deepseek2`, whose keys and values come from a latent vector.

use super::{open, refused, refused_keys, with_experts};
use firstlight_tests::tiny::Tiny;
use gguf::TensorType;
use gguf::write::OwnedValue;

/// The tiny model with four heads, of which 4 dimensions turn and 4 meet a latent of 16.
fn deepseek() -> Tiny {
    let numbers = [
        ("attention.head_count_kv", 1_u32),
        ("attention.key_length", 20),
        ("attention.value_length", 16),
        ("attention.key_length_mla", 8),
        ("attention.value_length_mla", 8),
        ("attention.kv_lora_rank", 16),
        ("rope.dimension_count", 4),
    ];
    let model = Tiny::default().of_family("deepseek2");
    numbers.into_iter().fold(model, |model, (name, value)| {
        model.set(&format!("deepseek2.{name}"), value)
    })
}

/// The same with the tensors of both layers, and without those of other attention.
fn complete() -> Tiny {
    let tensors: [(&str, &[usize]); 4] = [
        ("attn_kv_a_mqa.weight", &[32, 20]),
        ("attn_kv_a_norm.weight", &[16]),
        ("attn_k_b.weight", &[4, 16, 4]),
        ("attn_v_b.weight", &[16, 8, 4]),
    ];
    (0..2).fold(deepseek(), |model, layer| {
        let model = ["attn_k", "attn_v"].into_iter().fold(model, |model, name| {
            model.without_tensor(&format!("blk.{layer}.{name}.weight"))
        });
        tensors.iter().fold(model, |model, (name, dims)| {
            model.with_tensor(&format!("blk.{layer}.{name}"), TensorType::F32, dims)
        })
    })
}

#[test]
fn numbers() {
    assert!(open(&complete()).is_ok());
    let further = complete().set("deepseek2.nextn_predict_layers", 1_u32);
    assert_eq!(open(&further).map_or(0, |model| model.config().n_layer), 1);
    let rows: [(&str, OwnedValue, &str); 7] = [
        (
            "attention.head_count_kv",
            2_u32.into(),
            " is 2, expected 1: heads share their keys",
        ),
        (
            "attention.key_length",
            8_u32.into(),
            " is 8, expected 20: the latent and what turns",
        ),
        (
            "attention.value_length",
            8_u32.into(),
            " is 8, expected 16: the latent",
        ),
        (
            "attention.key_length_mla",
            4_u32.into(),
            " is 4, expected 5 to 65536",
        ),
        (
            "attention.value_length_mla",
            0_u32.into(),
            " is 0, expected 1 to 65536",
        ),
        (
            "attention.kv_lora_rank",
            0_u32.into(),
            " is 0, expected 1 to 65532",
        ),
        (
            "rope.scaling.type",
            "linear".into(),
            " is \"linear\", expected none or yarn",
        ),
    ];
    refused_keys(&complete(), "deepseek2", rows);
    let missing = |name: &str, kind: &str| {
        format!("metadata key \"deepseek2.{name}\" is missing, expected {kind}")
    };
    refused(
        &complete().set("deepseek2.rope.scaling.type", "yarn"),
        &missing(
            "rope.scaling.yarn_log_multiplier",
            "a floating-point number",
        ),
    );
    refused(
        &complete().set("deepseek2.attention.temperature_scale", 0.5_f32),
        &missing("attention.temperature_length", "an unsigned 64-bit integer"),
    );
    let old = complete().without("deepseek2.attention.key_length_mla");
    refused(
        &old,
        &missing("attention.key_length_mla", "an unsigned 64-bit integer"),
    );
    refused(
        &old.with_tensor("blk.0.attn_kv_b.weight", TensorType::F32, &[16, 48]),
        &missing(
            "attention.key_length_mla",
            "one: matrices of keys and values in one tensor, attn_kv_b, as older files have them, are not supported",
        ),
    );
}

#[test]
fn tensors() {
    let rows: [(&str, &[usize], &str); 6] = [
        ("attn_q.weight", &[32, 40], "[32, 32]"),
        ("attn_kv_a_mqa.weight", &[32, 16], "[32, 20]"),
        ("attn_kv_a_norm.weight", &[20], "[16]"),
        ("attn_k_b.weight", &[16, 4, 4], "[4, 16, 4]"),
        ("attn_v_b.weight", &[16, 4, 4], "[16, 8, 4]"),
        ("attn_output.weight", &[16, 32], "[32, 32]"),
    ];
    for (name, dims, expected) in rows {
        let name = format!("blk.1.{name}");
        let message = format!("tensor \"{name}\" has shape {dims:?}, expected {expected}");
        refused(
            &complete().with_tensor(&name, TensorType::F32, dims),
            &message,
        );
        refused(
            &complete().without_tensor(&name),
            &format!("tensor \"{name}\" is missing"),
        );
    }
    refused(
        &complete().set("deepseek2.attention.q_lora_rank", 8_u32),
        "tensor \"blk.0.attn_q_a_norm.weight\" is missing",
    );
}

#[test]
fn experts() {
    let experts = || with_experts(complete(), "deepseek2");
    refused(
        &experts(),
        "tensor \"blk.1.ffn_gate_inp.weight\" is missing",
    );
    refused(
        &experts().set("deepseek2.expert_shared_count", 0_u32),
        "metadata key \"deepseek2.expert_shared_count\" is 0, expected 1 to 8192",
    );
    let biased = || experts().with_tensor("blk.1.exp_probs_b.bias", TensorType::F32, &[4]);
    refused(
        &biased(),
        "metadata key \"deepseek2.expert_gating_func\" is missing, expected 1 or 2 where a bias chooses experts",
    );
    refused(
        &biased().set("deepseek2.expert_gating_func", 2_u32),
        "tensor \"blk.1.ffn_gate_inp.weight\" is missing",
    );
}
