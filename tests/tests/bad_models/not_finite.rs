//! Weights that are infinite or no numbers: reported, never generated from.

use super::{generate, open};
use firstlight_tests::tiny::{Shape, Tiny, scale_offsets};
use gguf::TensorType;
use kernels::format::BlockIQ1_M;

/// The model opens, and reports instead of generating.
#[track_caller]
fn not_finite(what: &str, model: &Tiny) {
    let model = open(model).unwrap_or_else(|error| panic!("{what}: {error}"));
    match generate(&model, "the hen", 10) {
        Ok(text) => panic!("{what}: generated {text:?}"),
        Err(error) => {
            let message = error.to_string();
            let end = " logits for the token at position 4: its weights are damaged or the format is misread";
            assert!(
                message.contains("tiny.gguf: the model computed ") && message.ends_with(end),
                "{what}: {message}"
            );
        }
    }
}

#[test]
fn scales_that_are_not_finite() {
    const NAN: [u8; 2] = [0x00, 0x7e];
    const INFINITY: [u8; 2] = [0x00, 0x7c];
    let everywhere = [
        "token_embd.weight",
        "blk.0.attn_q.weight",
        "blk.0.attn_k.weight",
        "blk.1.attn_v.weight",
        "blk.1.attn_output.weight",
        "blk.0.ffn_gate.weight",
        "blk.0.ffn_up.weight",
        "blk.1.ffn_down.weight",
        "output.weight",
    ];
    for format in kernels::Format::all() {
        let ty = format.info().tensor_type;
        let model = Tiny::new(&Shape::of_format(ty));
        for name in everywhere {
            for scale in [NAN, INFINITY] {
                let what = format!("{name} in {ty}, scale {scale:x?}");
                let damage = |block: &mut [u8]| match (ty, scale_offsets(ty)) {
                    (TensorType::MXFP4, _) => block[0] = 255,
                    (TensorType::IQ1_M, _) => {
                        BlockIQ1_M::set_scale(block, half::f16::from_le_bytes(scale));
                    }
                    (TensorType::F32 | TensorType::BF16, _) => {
                        let top = if scale == NAN {
                            [0xc0, 0x7f]
                        } else {
                            [0x80, 0x7f]
                        };
                        let len = block.len();
                        block[len - 2..].copy_from_slice(&top);
                    }
                    (TensorType::F16, _) => block.copy_from_slice(&scale),
                    (_, None) => panic!("{ty}: where are its scales?"),
                    (_, Some(offsets)) => {
                        for offset in offsets {
                            block[offset..offset + 2].copy_from_slice(&scale);
                        }
                    }
                };
                let damaged = model.clone().edit(name, |tensor| {
                    tensor
                        .data
                        .chunks_exact_mut(ty.block_bytes())
                        .for_each(damage);
                });
                not_finite(&what, &damaged);
            }
        }
    }
    for name in [
        "blk.0.attn_norm.weight",
        "blk.1.ffn_norm.weight",
        "output_norm.weight",
    ] {
        for bad in [f32::NAN, f32::INFINITY] {
            let damaged = Tiny::default().edit(name, |tensor| {
                tensor.data[..4].copy_from_slice(&bad.to_le_bytes())
            });
            not_finite(&format!("{name}, {bad}"), &damaged);
        }
    }
}

#[test]
fn one_damaged_block_is_noticed() {
    let name = "blk.0.ffn_up.weight";
    let model = Tiny::new(&Shape::of_format(TensorType::Q4_0));
    let damaged = model.edit(name, |tensor| {
        tensor.data[..2].copy_from_slice(&[0x00, 0x7e])
    });
    not_finite("one block", &damaged);
}
