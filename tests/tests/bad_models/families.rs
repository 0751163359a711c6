//! Families whose files lack what they need, or say what makes no sense.

use super::{family, missing, open, refused, refused_keys, with_experts};
use firstlight_tests::tiny::Tiny;
use gguf::TensorType;
use gguf::write::OwnedValue;

#[test]
fn numbers_and_tensors() {
    // What the tiny model has is enough for some.
    for name in [
        "gemma",
        "internlm2",
        "llama",
        "mistral3",
        "qwen2",
        "qwen2vl",
        "smollm3",
    ] {
        assert!(open(&family(name)).is_ok(), "{name}");
    }
    refused(&family("qwen3"), &missing("attn_q_norm.weight"));
    for name in ["exaone4", "gemma3", "hunyuan-dense", "qwen3vl"] {
        refused(&family(name), &missing("attn_q_norm.weight"));
    }
    let gates = ["blk.0.ffn_gate.weight", "blk.1.ffn_gate.weight"];
    let parameters = ["alpha_n", "alpha_p", "beta", "eps"];
    let apertus = || {
        let set = |model: Tiny, name| model.set(&format!("xielu.{name}"), vec![0.5_f32, 0.25]);
        parameters.into_iter().fold(family("apertus"), set)
    };
    refused(&apertus(), &missing("attn_q_norm.weight"));
    refused(
        &apertus().without("xielu.beta"),
        "metadata key \"xielu.beta\" is missing, expected a floating-point number",
    );
    refused(
        &apertus().set("xielu.eps", vec![0.5_f32]),
        "metadata key \"xielu.eps\" is an array of 1 values, expected one for each of 2 layers",
    );
    refused(
        &apertus().set("xielu.alpha_p", vec![0.5_f32, f32::NAN]),
        "metadata key \"xielu.alpha_p\" is NaN, expected finite numbers",
    );
    refused(
        &apertus().set("xielu.alpha_n", vec![1_u32, 2]),
        "metadata key \"xielu.alpha_n\" is [1, 2], expected an array of f32",
    );
    let arcee = family("arcee").without_tensor(gates[0]);
    assert!(open(&arcee.clone().without_tensor(gates[1])).is_ok());
    assert!(open(&arcee).is_err());
    refused(&family("phi3"), &missing("attn_qkv.weight"));
    refused(&family("glm4"), &missing("post_attention_norm.weight"));
    refused(&family("olmo2"), &missing("attn_q_norm.weight"));
    refused(&family("seed_oss"), &missing("post_attention_norm.weight"));
    refused(
        &family("olmoe"),
        "metadata key \"olmoe.expert_count\" is missing, expected an unsigned 64-bit integer",
    );
    refused(
        &family("gpt-oss"),
        "metadata key \"gpt-oss.attention.sliding_window\" is missing, expected an unsigned 64-bit integer",
    );
    let scale = "granite.logit_scale";
    refused(
        &family("granite"),
        &format!("metadata key \"{scale}\" is missing, expected a floating-point number"),
    );
    refused(
        &family("minicpm"),
        "metadata key \"minicpm.embedding_scale\" is missing, expected a floating-point number",
    );
    let numbers: &[(&str, &str, OwnedValue, &str)] = &[
        (
            "granite",
            "logit_scale",
            0_f32.into(),
            " is 0, expected a finite number above 0",
        ),
        (
            "gemma3",
            "attention.sliding_window",
            0_u32.into(),
            " is 0, expected 1 to 1073741824",
        ),
        (
            "gemma3",
            "attention.sliding_window_pattern",
            0_u32.into(),
            " is 0, expected 1 to 6",
        ),
        (
            "gemma3",
            "rope.freq_base_swa",
            1_f32.into(),
            " is 1, expected a number above 1",
        ),
        (
            "gemma3",
            "final_logit_softcapping",
            f32::NAN.into(),
            " is NaN, expected a finite number above 0",
        ),
        (
            "glm4",
            "nextn_predict_layers",
            2_u32.into(),
            " is 2, expected 0 to 1",
        ),
        (
            "glm4",
            "rope.dimension_sections",
            vec![2_u32, 1, 1].into(),
            " is [2, 1, 1], expected none: models that see are not supported",
        ),
        (
            "gemma3",
            "attention.sliding_window_pattern",
            vec![true, false, true].into(),
            " is an array of 3 values, expected one for each of 2 layers",
        ),
        (
            "olmo2",
            "attention.sliding_window_pattern",
            vec![1.0_f32, 0.0].into(),
            " is [1, 0], expected an array of bool",
        ),
        (
            "olmo2",
            "rope.freq_base_swa",
            1_f32.into(),
            " is 1, expected a number above 1",
        ),
        (
            "exaone4",
            "attention.sliding_window",
            0_u32.into(),
            " is 0, expected 1 to 1073741824",
        ),
        (
            "exaone4",
            "rope.freq_base_swa",
            500_f32.into(),
            " is 500, expected 10000, that of all layers",
        ),
        (
            "hunyuan-dense",
            "rope.dimension_sections",
            vec![2_u32, 1, 1].into(),
            " is [2, 1, 1], expected none: models that see are not supported",
        ),
        (
            "hunyuan-dense",
            "rope.scaling.alpha",
            1000_f32.into(),
            " is 1000, expected none: the base says how far contexts stretch",
        ),
        (
            "hunyuan-moe",
            "expert_count",
            0_u32.into(),
            " is 0, expected 1 to 4096",
        ),
        (
            "qwen2vl",
            "rope.dimension_sections",
            vec![2_u32, 1, 0, 1].into(),
            " is [2, 1, 0, 1], expected three that have all of 4 pairs",
        ),
        (
            "qwen3vl",
            "rope.dimension_sections",
            3_u32.into(),
            " is 3, expected an array of integers",
        ),
        (
            "smallthinker",
            "attention.sliding_window",
            4_u32.into(),
            " is 4, expected 0 or 4096",
        ),
        (
            "mistral3",
            "attention.temperature_scale",
            (-0.1_f32).into(),
            " is -0.1, expected a finite number above 0",
        ),
        (
            "llama",
            "attention.scale",
            (-1_f32).into(),
            " is -1, expected a finite number above 0",
        ),
    ];
    for (name, key, value, expected) in numbers {
        let model = family(name).set(&format!("{name}.attention.sliding_window"), 4_u32);
        let key = format!("{name}.{key}");
        let message = format!("metadata key \"{key}\"{expected}");
        refused(&model.set(&key, value.clone()), &message);
    }
}

/// The same with layer norms, and layers that lack these tensors.
fn with_layer_norms(name: &str, lacking: &[&str]) -> Tiny {
    let model = family(name).set(&format!("{name}.attention.layer_norm_epsilon"), 1e-5_f32);
    let names = [0, 1].into_iter().flat_map(|layer| {
        let of_layer = move |tensor: &&str| format!("blk.{layer}.{tensor}.weight");
        lacking.iter().map(of_layer)
    });
    names.fold(model, |model, name| model.without_tensor(&name))
}

#[test]
fn layer_norms() {
    refused(
        &family("cohere2"),
        "metadata key \"cohere2.attention.layer_norm_epsilon\" is missing, expected a floating-point number",
    );
    refused(
        &with_layer_norms("cohere2", &["ffn_norm"]),
        "metadata key \"cohere2.logit_scale\" is missing, expected a floating-point number",
    );
    let cohere2 = || with_layer_norms("cohere2", &["ffn_norm"]);
    let scaled = || cohere2().set("cohere2.logit_scale", 0.25_f32);
    refused(
        &scaled(),
        "metadata key \"cohere2.attention.sliding_window\" is missing, expected an unsigned 64-bit integer",
    );
    let cohere2 = || scaled().set("cohere2.attention.sliding_window", 4_u32);
    assert!(open(&cohere2()).is_ok());
    refused(
        &cohere2().set("cohere2.rope.freq_base_swa", 500_f32),
        "metadata key \"cohere2.rope.freq_base_swa\" is 500, expected 10000, that of all layers",
    );
    let command_r = || with_layer_norms("command-r", &["ffn_norm"]);
    assert!(open(&command_r()).is_ok());
    // Each of four heads has weights of its own, in all layers.
    let with_q_norm = |shape: &[usize]| {
        command_r().with_tensor("blk.0.attn_q_norm.weight", TensorType::F32, shape)
    };
    refused(
        &with_q_norm(&[8]),
        "tensor \"blk.0.attn_q_norm.weight\" has shape [8], expected [8, 4]",
    );
    refused(
        &with_q_norm(&[8, 4]),
        "tensor \"blk.0.attn_k_norm.weight\" is missing",
    );
    let starcoder2 = || with_layer_norms("starcoder2", &["ffn_gate"]);
    assert!(open(&starcoder2()).is_ok());
    refused(
        &starcoder2().set("starcoder2.attention.sliding_window", 0_u32),
        "metadata key \"starcoder2.attention.sliding_window\" is 0, expected 1 to 1073741824",
    );
    assert!(open(&with_layer_norms("stablelm", &["ffn_norm"])).is_ok());
    refused(
        &with_layer_norms("stablelm", &[]).without_tensor("blk.0.ffn_norm.weight"),
        "tensor \"blk.0.ffn_norm.weight\" is missing",
    );
    let phi2 = || with_layer_norms("phi2", &["ffn_norm", "ffn_gate"]);
    assert!(open(&phi2()).is_ok());
    refused(
        &phi2().with_tensor("blk.1.attn_qkv.weight", TensorType::F32, &[32, 64]),
        "tensor \"blk.0.attn_qkv.weight\" is missing",
    );
    refused(
        &phi2().with_tensor("output.bias", TensorType::F32, &[32]),
        "tensor \"output.bias\" has shape [32], expected [294]",
    );
    // All have biases, or none.
    refused(
        &cohere2().with_tensor("blk.1.attn_norm.bias", TensorType::F32, &[32]),
        "tensor \"output_norm.bias\" is missing",
    );
}

#[test]
fn layers_that_differ() {
    let pattern = "attention.sliding_window_pattern";
    let gemma4 = || {
        let numbers = [
            ("attention.key_length", 8_u32),
            ("attention.value_length", 8),
            ("attention.key_length_swa", 8),
            ("attention.value_length_swa", 8),
            ("attention.sliding_window", 4),
            ("embedding_length_per_layer_input", 0),
        ];
        let model = family("gemma4").set(&format!("gemma4.{pattern}"), vec![true, false]);
        numbers.into_iter().fold(model, |model, (name, value)| {
            model.set(&format!("gemma4.{name}"), value)
        })
    };
    refused(&gemma4(), "tensor \"rope_freqs.weight\" is missing");
    let windows = || gemma4().set(&format!("gemma4.{pattern}"), vec![true; 2]);
    refused(&windows(), &missing("attn_q_norm.weight"));
    refused(
        &windows().set("gemma4.embedding_length_per_layer_input", 8_u32),
        "tensor \"per_layer_token_embd.weight\" is missing",
    );
    refused(
        &family("gemma4"),
        &format!("metadata key \"gemma4.{pattern}\" is missing, expected an array"),
    );
    let rows: [(&str, OwnedValue, &str); 13] = [
        (
            pattern,
            vec![true].into(),
            " is an array of 1 values, expected one for each of 2 layers",
        ),
        (
            pattern,
            vec![1_u32, 2].into(),
            " is [1, 2], expected an array of bool",
        ),
        (
            "attention.head_count_kv",
            vec![2_u32, 3].into(),
            " is 3, expected a divisor of 4 heads",
        ),
        (
            "attention.value_length",
            4_u32.into(),
            " is 4, expected 8, as that of keys",
        ),
        (
            "attention.key_length_swa",
            0_u32.into(),
            " is 0, expected 1 to 65536",
        ),
        (
            "attention.sliding_window",
            0_u32.into(),
            " is 0, expected 1 to 1073741824",
        ),
        (
            "attention.shared_kv_layers",
            2_u32.into(),
            " is 2, expected 0 to 1",
        ),
        (
            "attention.shared_kv_layers",
            1_u32.into(),
            " is 1, expected layers before of the kind of layer 1",
        ),
        (
            "embedding_length_per_layer_input",
            200_000_u32.into(),
            " is 200000, expected at most 131072 in each layer",
        ),
        (
            "feed_forward_length",
            vec![48_u32].into(),
            " is an array of 1 values, expected one for each of 2 layers",
        ),
        (
            "rope.dimension_count_swa",
            3_u32.into(),
            " is 3, expected an even number",
        ),
        (
            "expert_count",
            5000_u32.into(),
            " is 5000, expected 0 to 4096",
        ),
        ("expert_group_count", 2_u32.into(), " is 2, expected 0 to 1"),
    ];
    for (name, value, expected) in rows {
        let model = match name {
            // What is read after the rope.
            "rope.dimension_count_swa"
            | "attention.sliding_window"
            | "feed_forward_length"
            | "expert_count"
            | "expert_group_count" => windows(),
            _ => gemma4(),
        };
        let model = model.set(&format!("gemma4.{name}"), value);
        refused(&model, &format!("metadata key \"gemma4.{name}\"{expected}"));
    }
}

#[test]
fn experts_after_dense_layers() {
    let glm = || with_experts(family("glm4moe"), "glm4moe");
    refused(&glm(), &missing("post_attention_norm.weight"));
    let rows: [(&str, OwnedValue, &str); 9] = [
        ("expert_count", 0_u32.into(), " is 0, expected 1 to 4096"),
        ("expert_used_count", 5_u32.into(), " is 5, expected 1 to 4"),
        (
            "expert_group_count",
            33_u32.into(),
            " is 33, expected 0 to 32",
        ),
        (
            "expert_group_count",
            4_u32.into(),
            " is 4, expected equal groups of two or more of 4 experts",
        ),
        ("expert_gating_func", 3_u32.into(), " is 3, expected 0 to 2"),
        (
            "expert_weights_scale",
            f32::INFINITY.into(),
            " is inf, expected a finite number above 0",
        ),
        (
            "expert_shared_count",
            0_u32.into(),
            " is 0, expected 1 to 8192",
        ),
        (
            "leading_dense_block_count",
            2000_u32.into(),
            " is 2000, expected 0 to 1024",
        ),
        (
            "rope.dimension_sections",
            vec![2_u32, 1, 1].into(),
            " is [2, 1, 1], expected none: models that see are not supported",
        ),
    ];
    refused_keys(&glm(), "glm4moe", rows);
    let groups = |used: u32, experts: u32| {
        glm()
            .set("glm4moe.expert_group_count", 2_u32)
            .set("glm4moe.expert_group_used_count", used)
            .set("glm4moe.expert_used_count", experts)
    };
    refused(
        &groups(3, 2),
        "metadata key \"glm4moe.expert_group_used_count\" is 3, expected 1 to 2",
    );
    refused(
        &groups(1, 3),
        "metadata key \"glm4moe.expert_used_count\" is 3, expected 1 to 2",
    );
    refused(&groups(1, 2), &missing("post_attention_norm.weight"));
    refused(
        &family("olmoe")
            .set("olmoe.expert_count", 4_u32)
            .set("olmoe.expert_used_count", 2_u32)
            .set("olmoe.expert_group_count", 2_u32),
        "metadata key \"olmoe.expert_group_count\" is 2, expected 0 to 1",
    );
    refused(
        &glm().set("glm4moe.expert_weights_norm", 1_u32),
        "metadata key \"glm4moe.expert_weights_norm\": expected a bool, found u32 1",
    );
    refused(
        &family("ernie4_5-moe").set("ernie4_5-moe.interleave_moe_layer_step", 2_u32),
        "metadata key \"ernie4_5-moe.interleave_moe_layer_step\" is 2, expected 1: all layers after the dense ones have experts",
    );
    for name in ["bailingmoe", "deepseek"] {
        refused(
            &with_experts(family(name), name),
            "tensor \"blk.1.ffn_gate_inp.weight\" is missing",
        );
    }
    for name in ["bailingmoe2", "dots1", "minimax-m2", "smallthinker"] {
        refused(
            &with_experts(family(name), name),
            &format!(
                "metadata key \"{name}.expert_gating_func\" is missing, expected an unsigned 64-bit integer"
            ),
        );
    }
    let sigmoids = |name: &str| {
        let gating = format!("{name}.expert_gating_func");
        with_experts(family(name), name).set(&gating, 2_u32)
    };
    refused(&sigmoids("bailingmoe2"), &missing("attn_qkv.weight"));
    refused(&sigmoids("dots1"), &missing("attn_q_norm.weight"));
    refused(
        &sigmoids("bailingmoe2").set("bailingmoe2.expert_shared_feed_forward_length", 1_u32 << 18),
        &missing("attn_qkv.weight"),
    );
    refused(
        &sigmoids("bailingmoe2").set("bailingmoe2.expert_shared_count", 0_u32),
        "metadata key \"bailingmoe2.expert_shared_count\" is 0, expected 1 to 8192",
    );
    let mimo = || {
        sigmoids("mimo2")
            .set("mimo2.attention.key_length", 8_u32)
            .set("mimo2.attention.value_length", 8_u32)
            .set("mimo2.attention.sliding_window", 4_u32)
            .set("mimo2.attention.sliding_window_pattern", vec![0_u32, 1])
    };
    refused(&mimo(), &missing("ffn_gate_inp.weight"));
    let rows: [(&str, OwnedValue, &str); 4] = [
        (
            "attention.head_count_kv",
            vec![2_u32, 3].into(),
            " is 3, expected a divisor of 4 heads",
        ),
        (
            "attention.sliding_window_pattern",
            vec![true].into(),
            " is an array of 1 values, expected one for each of 2 layers",
        ),
        ("expert_gating_func", 1_u32.into(), " is 1, expected 2 to 2"),
        (
            "attention.value_scale",
            (-1_f32).into(),
            " is -1, expected a finite number above 0",
        ),
    ];
    refused_keys(&mimo(), "mimo2", rows);
    let lfm = family("lfm2moe")
        .set("lfm2moe.attention.head_count_kv", vec![0_u32, 2])
        .set("lfm2moe.shortconv.l_cache", 3_u32);
    refused(
        &lfm,
        "metadata key \"lfm2moe.expert_gating_func\" is missing, expected an unsigned 64-bit integer",
    );
}
