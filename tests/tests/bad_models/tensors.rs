//! Tensors that are missing, of another shape, or of a type without kernels.

use super::{open, refused};
use firstlight_tests::tiny::{Shape, Tiny};
use gguf::TensorType;

#[test]
fn tensors_that_are_missing() {
    for name in [
        "token_embd.weight",
        "output_norm.weight",
        "blk.0.attn_norm.weight",
        "blk.0.attn_q.weight",
        "blk.1.attn_k.weight",
        "blk.1.attn_v.weight",
        "blk.1.attn_output.weight",
        "blk.1.ffn_norm.weight",
        "blk.1.ffn_gate.weight",
        "blk.1.ffn_up.weight",
        "blk.1.ffn_down.weight",
    ] {
        let expected = format!("tensor \"{name}\" is missing");
        refused(&Tiny::default().without_tensor(name), &expected);
    }
    refused(
        &Tiny::default().without_tensors(),
        "tensor \"token_embd.weight\" is missing",
    );
    let three_layers = Tiny::default().set("llama.block_count", 3_u32);
    refused(
        &three_layers,
        "tensor \"blk.2.attn_norm.weight\" is missing",
    );
    let experts = Tiny::default()
        .set("llama.expert_count", 4_u32)
        .set("llama.expert_used_count", 2_u32);
    refused(&experts, "tensor \"blk.0.ffn_gate_inp.weight\" is missing");
    // The output may be tied to the embedding.
    assert!(open(&Tiny::default().without_tensor("output.weight")).is_ok());
}

#[test]
fn tensors_that_nobody_knows() {
    let unknown = |name| {
        format!(
            "tensor \"{name}\" is unknown to models of its architecture: without it this would be another model"
        )
    };
    for name in [
        "blk.1.attn_q.scale",
        "blk.0.attn_norm.bias",
        "output_norm.bias",
    ] {
        let model = Tiny::default().with_tensor(name, TensorType::F32, &[32]);
        refused(&model, &unknown(name));
    }
    // Layers that the metadata do not count.
    let one_layer = Tiny::default().set("llama.block_count", 1_u32);
    refused(&one_layer, &unknown("blk.1.attn_k.weight"));
    // Biases are known wherever there is a matrix.
    let model = Tiny::default().with_tensor("blk.1.attn_q.bias", TensorType::F32, &[32]);
    assert!(open(&model).is_ok());
}

#[test]
fn shapes_and_types() {
    let f32 = TensorType::F32;
    let rows: &[(&str, TensorType, &[usize], &str)] = &[
        (
            "blk.0.attn_q.weight",
            f32,
            &[32, 31],
            "has shape [32, 31], expected [32, 32]",
        ),
        (
            "blk.0.attn_q.weight",
            f32,
            &[32],
            "has shape [32], expected [32, 32]",
        ),
        (
            "blk.0.attn_q.weight",
            f32,
            &[32, 32, 2],
            "has shape [32, 32, 2], expected [32, 32]",
        ),
        (
            "blk.0.attn_k.weight",
            f32,
            &[16, 32],
            "has shape [16, 32], expected [32, 16]",
        ),
        (
            "blk.1.attn_v.weight",
            f32,
            &[32, 32],
            "has shape [32, 32], expected [32, 16]",
        ),
        (
            "blk.1.ffn_down.weight",
            f32,
            &[32, 48],
            "has shape [32, 48], expected [48, 32]",
        ),
        (
            "blk.1.ffn_norm.weight",
            f32,
            &[31],
            "has shape [31], expected [32]",
        ),
        (
            "output_norm.weight",
            f32,
            &[33],
            "has shape [33], expected [32]",
        ),
        (
            "output.weight",
            f32,
            &[32, 5],
            "has shape [32, 5], expected [32, 294]",
        ),
        (
            "token_embd.weight",
            f32,
            &[64, 294],
            "has shape [64, 294], expected [32, 294]",
        ),
        (
            "blk.0.attn_q.bias",
            f32,
            &[31],
            "has shape [31], expected [32]",
        ),
        (
            "blk.0.attn_norm.weight",
            TensorType::Q8_0,
            &[32],
            "has type Q8_0, which cannot be computed with; supported are F32, F16, BF16 for this tensor",
        ),
    ];
    for (name, ty, dims, expected) in rows {
        let model = Tiny::default().with_tensor(name, *ty, dims);
        refused(&model, &format!("tensor \"{name}\" {expected}"));
    }
    // Trailing dimensions of 1 mean nothing.
    assert!(open(&Tiny::default().with_tensor("blk.0.attn_q.weight", f32, &[32, 32, 1])).is_ok());
    // Types that have no kernels.
    for (ty, shown) in [
        (TensorType::NVFP4, "NVFP4"),
        (TensorType::I32, "I32"),
        (TensorType::F64, "F64"),
    ] {
        let shape = Shape::of_format(TensorType::Q4_K);
        let model = Tiny::new(&shape).edit("blk.0.ffn_up.weight", |tensor| {
            let len: u64 = tensor.dims.iter().product();
            tensor.ty = ty;
            tensor.data = vec![0; len as usize / ty.block_len() * ty.block_bytes()];
        });
        let message = open(&model).err().unwrap();
        let start = format!(
            "FILE: tensor \"blk.0.ffn_up.weight\" has type {shown}, which cannot be computed with; supported are f32, "
        );
        assert!(message.starts_with(&start), "{message}");
    }
}
