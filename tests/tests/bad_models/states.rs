//! Files whose layers remember a state.

use super::{family, missing, open, refused, refused_keys, with_experts};
use firstlight_tests::tiny::Tiny;
use gguf::TensorType;
use gguf::write::OwnedValue;

#[test]
fn layers_with_convolutions() {
    let heads = "attention.head_count_kv";
    let tiny = || {
        family("lfm2")
            .set(&format!("lfm2.{heads}"), vec![0_u32, 2])
            .set("lfm2.shortconv.l_cache", 3_u32)
    };
    refused(&tiny(), "tensor \"token_embd_norm.weight\" is missing");
    refused(
        &tiny().without(&format!("lfm2.{heads}")),
        &format!("metadata key \"lfm2.{heads}\" is missing, expected an array"),
    );
    let rows: [(&str, OwnedValue, &str); 6] = [
        (heads, 2_u32.into(), " is 2, expected an array of integers"),
        (
            heads,
            vec![0_u32, 2, 2].into(),
            " is an array of 3 values, expected one for each of 2 layers",
        ),
        (
            heads,
            vec![1_u32, 2].into(),
            " is [1, 2], expected one value for all layers that attend",
        ),
        (
            heads,
            vec![0_u32, 3].into(),
            " is 3, expected a divisor of 4 heads",
        ),
        (heads, vec![0_u32, 8].into(), " is 8, expected 1 to 4"),
        ("shortconv.l_cache", 1_u32.into(), " is 1, expected 2 to 16"),
    ];
    refused_keys(&tiny(), "lfm2", rows);
}

#[test]
fn gated_delta_net() {
    let delta_of = |name: &str| {
        let numbers = [
            ("ssm.group_count", 2_u32),
            ("ssm.time_step_rank", 4),
            ("ssm.state_size", 16),
            ("ssm.conv_kernel", 4),
            ("ssm.inner_size", 64),
        ];
        let set = |model: Tiny, (key, value)| model.set(&format!("{name}.{key}"), value);
        numbers.into_iter().fold(family(name), set)
    };
    let delta = || delta_of("qwen35");
    refused(&delta(), &missing("attn_qkv.weight"));
    let rows: [(&str, OwnedValue, &str); 7] = [
        (
            "ssm.group_count",
            3_u32.into(),
            "ssm.time_step_rank\" is 4, expected a multiple of 3 groups",
        ),
        (
            "ssm.time_step_rank",
            0_u32.into(),
            "ssm.time_step_rank\" is 0, expected 2 to 1024",
        ),
        (
            "ssm.state_size",
            24_u32.into(),
            "ssm.state_size\" is 24, expected a multiple of 16",
        ),
        (
            "ssm.conv_kernel",
            0_u32.into(),
            "ssm.conv_kernel\" is 0, expected 1 to 16",
        ),
        (
            "ssm.inner_size",
            32_u32.into(),
            "ssm.inner_size\" is 32, expected 4 heads of 16",
        ),
        (
            "nextn_predict_layers",
            2_u32.into(),
            "nextn_predict_layers\" is 2, expected 0 to 1",
        ),
        (
            "rope.dimension_sections",
            vec![2_u32, 1, 0].into(),
            "rope.dimension_sections\" is [2, 1, 0], expected three that have all of 4 pairs",
        ),
    ];
    for (name, value, expected) in rows {
        let model = delta().set(&format!("qwen35.{name}"), value);
        refused(&model, &format!("metadata key \"qwen35.{expected}"));
    }
    let next = || {
        let shared = "qwen3next.expert_shared_feed_forward_length";
        with_experts(delta_of("qwen3next"), "qwen3next").set(shared, 32_u32)
    };
    let with_first = |name: &str, rows: usize| {
        next().with_tensor(&format!("blk.0.{name}"), TensorType::F32, &[32, rows])
    };
    refused(&next(), &missing("attn_qkv.weight"));
    refused(&with_first("ssm_in.weight", 192), &missing("ssm_ba.weight"));
    refused(
        &with_first("ssm_in.weight", 128),
        "tensor \"blk.0.ssm_in.weight\" has shape [32, 128], expected [32, 192]",
    );
    let rows: [(&str, OwnedValue, &str); 3] = [
        ("expert_count", 0_u32.into(), " is 0, expected 1 to 4096"),
        (
            "attention.recurrent_layers",
            vec![true].into(),
            " is an array of 1 values, expected one for each of 2 layers",
        ),
        (
            "attention.recurrent_layers",
            1_u32.into(),
            ": expected a bool, found u32 1",
        ),
    ];
    refused_keys(&next(), "qwen3next", rows);
}

/// The same with these numbers of Mamba-2: four heads of 16 in two groups.
fn with_mamba(name: &str) -> Tiny {
    let numbers = [
        ("ssm.group_count", 2_u32),
        ("ssm.time_step_rank", 4),
        ("ssm.state_size", 16),
        ("ssm.conv_kernel", 4),
        ("ssm.inner_size", 64),
    ];
    numbers
        .into_iter()
        .fold(family(name), |model, (key, value)| {
            model.set(&format!("{name}.{key}"), value)
        })
}

/// The same whose first layer has Mamba-2 instead of attention.
fn with_mamba_first(name: &str) -> Tiny {
    let heads = format!("{name}.attention.head_count_kv");
    let model = with_mamba(name).set(&heads, vec![0_u32, 2]);
    with_tensors(without_attention(model, 0), 0)
}

fn without_attention(model: Tiny, layer: usize) -> Tiny {
    let names = ["attn_q", "attn_k", "attn_v", "attn_output"].iter();
    names.fold(model, |model, name| {
        model.without_tensor(&format!("blk.{layer}.{name}.weight"))
    })
}

/// The same with the tensors of Mamba-2 in a layer.
fn with_tensors(model: Tiny, layer: usize) -> Tiny {
    let tensors: [(&str, &[usize]); 8] = [
        ("ssm_in.weight", &[32, 64 + 128 + 4]),
        ("ssm_conv1d.weight", &[4, 128]),
        ("ssm_conv1d.bias", &[128]),
        ("ssm_a", &[1, 4]),
        ("ssm_d", &[1, 4]),
        ("ssm_dt.bias", &[4]),
        ("ssm_norm.weight", &[32, 2]),
        ("ssm_out.weight", &[64, 32]),
    ];
    tensors.iter().fold(model, |model, (name, dims)| {
        model.with_tensor(&format!("blk.{layer}.{name}"), TensorType::F32, dims)
    })
}

#[test]
fn mamba() {
    let granite = || with_mamba_first("granitehybrid");
    assert!(open(&granite()).is_ok());
    // A convolution may have no bias.
    assert!(open(&granite().without_tensor("blk.0.ssm_conv1d.bias")).is_ok());
    for name in [
        "ssm_in.weight",
        "ssm_a",
        "ssm_d",
        "ssm_dt.bias",
        "ssm_norm.weight",
    ] {
        let lacking = granite().without_tensor(&format!("blk.0.{name}"));
        refused(&lacking, &missing(name));
    }
    let shapes: [(&str, &[usize], &str); 4] = [
        ("ssm_in.weight", &[32, 192], "[32, 192], expected [32, 196]"),
        ("ssm_conv1d.weight", &[4, 96], "[4, 96], expected [4, 128]"),
        ("ssm_a", &[4], "[4], expected [1, 4]"),
        ("ssm_norm.weight", &[64], "[64], expected [32, 2]"),
    ];
    for (name, dims, expected) in shapes {
        let name = format!("blk.0.{name}");
        let model = granite().without_tensor(&name);
        refused(
            &model.with_tensor(&name, TensorType::F32, dims),
            &format!("tensor \"{name}\" has shape {expected}"),
        );
    }
    refused(
        &granite().with_tensor("blk.1.ssm_a", TensorType::F32, &[1, 4]),
        "tensor \"blk.1.ssm_a\" is unknown to models of its architecture: without it this would be another model",
    );
    let rows: [(&str, OwnedValue, &str); 10] = [
        ("ssm.group_count", 0_u32.into(), " is 0, expected 1 to 1024"),
        (
            "ssm.time_step_rank",
            5_u32.into(),
            " is 5, expected a multiple of 2 groups",
        ),
        (
            "ssm.state_size",
            24_u32.into(),
            " is 24, expected a multiple of 16",
        ),
        ("ssm.conv_kernel", 17_u32.into(), " is 17, expected 1 to 16"),
        (
            "ssm.inner_size",
            96_u32.into(),
            " is 96, expected 4 heads of a multiple of 16",
        ),
        (
            "attention.head_count_kv",
            vec![0_u32].into(),
            " is an array of 1 values, expected one for each of 2 layers",
        ),
        (
            "attention.head_count_kv",
            vec![0_u32, 3].into(),
            " is 3, expected a divisor of 4 heads",
        ),
        (
            "residual_scale",
            0_f32.into(),
            " is 0, expected a finite number above 0",
        ),
        (
            "logit_scale",
            f32::NAN.into(),
            " is NaN, expected a finite number above 0",
        ),
        (
            "expert_count",
            5000_u32.into(),
            " is 5000, expected 0 to 4096",
        ),
    ];
    refused_keys(&granite(), "granitehybrid", rows);
    refused(
        &granite().set("granitehybrid.rope.scaling.finetuned", 0_u32),
        "metadata key \"granitehybrid.rope.scaling.finetuned\": expected a bool, found u32 0",
    );
}

#[test]
fn layers_that_are_one_of_three() {
    let widths = "nemotron_h.feed_forward_length";
    let all = [
        "attn_q",
        "attn_k",
        "attn_v",
        "attn_output",
        "ffn_gate",
        "ffn_up",
        "ffn_down",
        "ffn_norm",
    ];
    // A layer of Mamba-2, and one that attends or is a network.
    let nemotron = |kv: u32, ff: u32, lacking: &[&str]| {
        let model = with_mamba_first("nemotron_h")
            .set("nemotron_h.attention.head_count_kv", vec![0, kv])
            .set(widths, vec![0, ff]);
        let names =
            (all[4..].iter().map(|name| (0, name))).chain(lacking.iter().map(|name| (1, name)));
        names.fold(model, |model, (layer, name)| {
            model.without_tensor(&format!("blk.{layer}.{name}.weight"))
        })
    };
    assert!(open(&nemotron(2, 0, &all[4..])).is_ok());
    let network = || {
        nemotron(
            0,
            48,
            &[
                "attn_q",
                "attn_k",
                "attn_v",
                "attn_output",
                "ffn_gate",
                "ffn_norm",
            ],
        )
    };
    assert!(open(&network()).is_ok());
    refused(
        &network().with_tensor("blk.1.ffn_gate.weight", TensorType::F32, &[32, 48]),
        "tensor \"blk.1.ffn_gate.weight\" is unknown to models of its architecture: without it this would be another model",
    );
    refused(
        &nemotron(2, 48, &[]),
        &format!("metadata key \"{widths}\" is 48, expected 0 for layer 1, which attends"),
    );
    refused(
        &nemotron(0, 0, &[]),
        "tensor \"blk.1.ssm_in.weight\" is missing",
    );
    refused(
        &network().without(widths),
        &format!("metadata key \"{widths}\" is missing, expected an unsigned 64-bit integer"),
    );
    refused(
        &network().without("nemotron_h.attention.layer_norm_rms_epsilon"),
        "metadata key \"nemotron_h.attention.layer_norm_epsilon\" is missing, expected a floating-point number",
    );
    let moe = with_experts(with_mamba_first("nemotron_h_moe"), "nemotron_h_moe")
        .set("nemotron_h_moe.attention.head_count_kv", vec![0_u32, 0])
        .set("nemotron_h_moe.feed_forward_length", vec![0_u32, 16])
        .set("nemotron_h_moe.expert_shared_feed_forward_length", 32_u32)
        .without("nemotron_h_moe.leading_dense_block_count");
    refused(&moe, "tensor \"blk.1.ffn_gate_inp.weight\" is missing");
    let rows: [(&str, OwnedValue, &str); 4] = [
        (
            "moe_latent_size",
            16_u32.into(),
            " is 16, expected 0: experts of latents are not supported",
        ),
        (
            "expert_gating_func",
            1_u32.into(),
            " is 1, expected 2, sigmoids",
        ),
        (
            "expert_used_count",
            vec![0_u32, 2].into(),
            " is [0, 2], expected one value for all layers",
        ),
        (
            "expert_shared_feed_forward_length",
            0_u32.into(),
            " is 0, expected 1 to 262144",
        ),
    ];
    refused_keys(&moe, "nemotron_h_moe", rows);
}

#[test]
fn mamba_alone_and_beside_attention() {
    let both = |model: Tiny| (0..2).fold(model, with_tensors);
    let falcon = || both(with_mamba("falcon-h1"));
    assert!(open(&falcon()).is_ok());
    // Norms of groups may be missing, and the name of a norm may have no ending.
    assert!(open(&falcon().without_tensor("blk.0.ssm_norm.weight")).is_ok());
    let without = || falcon().without_tensor("blk.1.ffn_norm.weight");
    assert!(open(&without().with_tensor("blk.1.ffn_norm", TensorType::F32, &[32])).is_ok());
    refused(&without(), "tensor \"blk.1.ffn_norm.weight\" is missing");
    refused(
        &falcon().with_tensor("blk.0.ffn_norm", TensorType::F32, &[32]),
        "tensor \"blk.0.ffn_norm\" is unknown to models of its architecture: without it this would be another model",
    );
    refused(
        &falcon().without_tensor("blk.0.attn_q.weight"),
        &missing("attn_q.weight"),
    );
    let mamba2 = || {
        let model = (0..2).fold(both(with_mamba("mamba2")), without_attention);
        let names = ["ffn_norm", "ffn_gate", "ffn_up", "ffn_down"].into_iter();
        let names = names.flat_map(|name| [0, 1].map(|layer| (layer, name)));
        names.fold(model, |model, (layer, name)| {
            model.without_tensor(&format!("blk.{layer}.{name}.weight"))
        })
    };
    assert!(open(&mamba2()).is_ok());
    refused(
        &mamba2().without_tensor("blk.0.ssm_norm.weight"),
        &missing("ssm_norm.weight"),
    );
    refused(
        &mamba2().with_tensor("blk.0.attn_q.weight", TensorType::F32, &[32, 32]),
        "tensor \"blk.0.attn_q.weight\" is unknown to models of its architecture: without it this would be another model",
    );
    refused_keys(
        &mamba2(),
        "mamba2",
        [(
            "ssm.inner_size",
            0_u32.into(),
            " is 0, expected 1 to 262144",
        )],
    );
}
