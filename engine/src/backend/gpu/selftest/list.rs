//! The cases: every format, and for the other operations the shapes that
//! straddle what workgroups and tiles hold.

use super::case::{Before, Case, HeadNorming};
use super::experts::Mixture;
use crate::backend::{Activation, AttentionShape};
use crate::cache::KvFormat;
use kernels::Format;
use kernels::ops::{NormKind, Pairing};
use kernels::recurrent::{ConvShape, DeltaShape, RecurrentShape, SsmShape};

/// What a binding holds when matrices are to be cut into many slices.
pub(super) const SMALL_BINDING_BYTES: u64 = 16 << 10;

/// Every case.
pub(super) fn all() -> Vec<Case> {
    let mut cases = reducing();
    for format in Format::all() {
        cases.push(Case::Embed { format });
        // More than a tile of rows and of tokens, and less than two.
        cases.push(product(format, 70, 97, 512));
    }
    // So many rows of floats that they are computed in tiles.
    for format in [Format::F32, Format::F16, Format::BF16] {
        cases.push(product(format, 70, 297, 512));
    }
    // Whole tiles and parts of them in each size that matrix units have, and rows
    // of an odd number of groups.
    cases.push(product(Format::Q8_0, 70, 97, 32));
    cases.push(product(Format::Q4_0, 40, 12750, 96));
    cases.push(product(Format::Q5_0, 200, 3300, 160));
    cases.push(product(Format::Q4_1, 193, 11521, 96));
    cases.push(product(Format::Q4_K, 150, 6500, 256));
    cases.push(residual(Format::Q5_1, 150, 6500, 96));
    cases.push(residual(Format::Q5_K, 65, 70, 768));
    cases.extend(split());
    cases.push(siblings([Format::Q5_K; 3], 65, true));
    cases.push(siblings([Format::BF16; 3], 20, false));
    cases.push(siblings([Format::F16; 3], 130, true));
    cases.push(residual(Format::F16, 65, 270, 300));
    cases.push(gate_up([Format::Q6_K; 2], 20, 70, true));
    cases.push(siblings(
        [Format::Q4_0, Format::Q4_0, Format::Q4_1],
        20,
        true,
    ));
    for (rows, cols) in [(1, 64), (3, 172), (2, 31)] {
        for activation in Activation::ALL {
            cases.extend([false, true].map(|alone| Case::Gate {
                activation,
                rows,
                cols,
                alone,
            }));
        }
    }
    for (pairing, norms) in [
        (Some(Pairing::Adjacent), None),
        (Some(Pairing::Halves), None),
        (Some(Pairing::Halves), norms_of(NormKind::Rms, false, false)),
        (
            Some(Pairing::Adjacent),
            norms_of(NormKind::Layer, true, false),
        ),
        (Some(Pairing::Halves), norms_of(NormKind::Rms, false, true)),
        (None, None),
    ] {
        for (head_dim, n_rot) in [(64, 64), (80, 32), (6, 6)] {
            cases.push(Case::Rope {
                pairing,
                head_dim,
                n_rot,
                norms,
            });
        }
    }
    cases.push(Case::Select);
    for widths in [[5, 5], [64, 7]] {
        cases.push(Case::Pieces { rows: 3, widths });
    }
    cases.push(Case::Mul);
    cases.push(Case::Xielu);
    cases.push(Case::ScaleRows);
    cases.push(Case::ScaleBy);
    for by_row in [false, true] {
        cases.push(Case::Sigmoid { by_row });
    }
    cases.extend(recurrent());
    for (cols, count) in [
        (1000, 1),
        (5000, 1),
        (7, 40),
        (2048, 40),
        (33000, 40),
        (33000, 256),
    ] {
        cases.push(Case::Highest { cols, count });
    }
    cases.extend(attention());
    cases
}

/// Cases that add up over the lanes of a workgroup.
fn reducing() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in Format::all() {
        cases.push(product(format, 1, 37, 512));
        // A tile and a part of one.
        cases.push(product(format, 9, 37, 768));
    }
    for (tokens, inputs) in [(1, 1), (1, 43), (3, 173), (20, 45)] {
        cases.push(product(Format::F32, tokens, 9, inputs));
        cases.push(product(Format::F16, tokens, 9, inputs));
    }
    // The other tiles, and rows of fewer groups than there are lanes.
    for (tokens, inputs) in [(2, 32), (4, 96), (16, 2048)] {
        cases.push(product(Format::Q4_0, tokens, 5, inputs));
    }
    for format in [Format::Q4_K, Format::Q8_0, Format::F16] {
        cases.push(siblings([format; 3], 1, true));
        cases.push(siblings([format; 3], 5, false));
    }
    cases.push(siblings(
        [Format::Q4_K, Format::Q4_K, Format::Q6_K],
        1,
        true,
    ));
    cases.push(siblings(
        [Format::F16, Format::Q4_0, Format::Q4_0],
        1,
        false,
    ));
    for (tokens, bias) in [(1, true), (2, false), (3, false), (11, true)] {
        cases.push(gate_up([Format::Q4_K; 2], tokens, 96, bias));
        // Less than a workgroup has, and not whole groups.
        cases.push(gate_up([Format::F16; 2], tokens, 70, bias));
    }
    // Not in one dispatch.
    cases.push(gate_up([Format::Q4_0, Format::Q4_1], 1, 40, false));
    for format in [Format::Q4_K, Format::F16] {
        cases.push(Case::GateUp {
            formats: [format; 2],
            tokens: 2,
            outputs: 96,
            bias: true,
            activation: Activation::Gelu,
            product: false,
        });
    }
    for (format, tokens) in [(Format::Q8_0, 1), (Format::BF16, 5)] {
        cases.push(Case::GateUp {
            formats: [format; 2],
            tokens,
            outputs: 1088,
            bias: false,
            activation: Activation::Silu,
            product: true,
        });
    }
    cases.push(residual(Format::Q4_K, 1, 33, 512));
    cases.push(residual(Format::F16, 2, 33, 100));
    for cols in [32, 256, 2048] {
        for before in [
            Before::Norm(NormKind::Rms),
            Before::Norm(NormKind::Layer),
            Before::Gate,
            Before::Activation,
        ] {
            cases.push(Case::Chain { before, cols });
        }
    }
    cases.extend(norms());
    for format in [Format::Q4_K, Format::MXFP4, Format::F16] {
        let variants = [
            (1, Mixture::Plain),
            (7, Mixture::Plain),
            (3, Mixture::Limited),
            (3, Mixture::Softmax),
            (3, Mixture::Sigmoid),
            (3, Mixture::Apart),
            (3, Mixture::Groups),
            (3, Mixture::Ungated),
            (3, Mixture::Many),
            // Of each expert a tile's worth of items and more.
            (200, Mixture::Limited),
            (17, Mixture::Sigmoid),
            (40, Mixture::Groups),
            (40, Mixture::Ungated),
        ];
        for (tokens, variant) in variants {
            cases.push(Case::Experts {
                format,
                tokens,
                variant,
            });
        }
    }
    cases.extend(
        [Format::Q4_K, Format::Q8_0, Format::F16]
            .into_iter()
            .flat_map(heads),
    );
    cases
}

/// Norms of whole rows and of pieces, which have weights in common or their own.
fn norms_of(kind: NormKind, own: bool, after_turn: bool) -> Option<HeadNorming> {
    Some(HeadNorming {
        kind,
        own,
        after_turn,
    })
}

fn norms() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, bias) in [
        (NormKind::Rms, false),
        (NormKind::Layer, false),
        (NormKind::Layer, true),
    ] {
        for (rows, [pieces, width], own) in [
            (1, [1, 64], false),
            (3, [1, 172], false),
            (2, [1, 2048], false),
            (2, [1, 5003], false),
            (5, [1, 1], false),
            (3, [4, 20], false),
            (3, [4, 20], true),
            (2, [3, 27], true),
        ] {
            cases.extend([false, true].map(|added| Case::Norm {
                kind,
                bias,
                rows,
                pieces,
                own,
                width,
                added,
            }));
        }
    }
    cases
}

/// One token, tiles of several sizes and a part of one, and a prompt's.
fn heads(format: Format) -> impl Iterator<Item = Case> {
    let sizes = [(1, 37), (2, 16), (7, 9), (33, 21)];
    sizes.into_iter().map(move |(tokens, outputs)| Case::Heads {
        format,
        tokens,
        outputs,
    })
}

/// Cases whose inputs matrix units split: few tiles and many inputs. The last split
/// has as many as the others, fewer, and half a step.
fn split() -> Vec<Case> {
    let mut cases = vec![
        product(Format::Q8_0, 20, 70, 1056),
        product(Format::Q4_0, 130, 65, 2080),
        product(Format::IQ4_XS, 17, 9, 1280),
        residual(Format::Q4_K, 70, 81, 2560),
        residual(Format::Q5_1, 33, 64, 1184),
        residual(Format::Q6_K, 64, 66, 4352),
        product(Format::Q4_0, 20, 1610, 4128),
        residual(Format::Q4_K, 65, 1610, 4096),
    ];
    for (formats, bias) in [
        ([Format::Q4_K; 3], true),
        ([Format::Q4_0; 3], false),
        ([Format::Q5_0, Format::Q5_0, Format::Q8_0], true),
    ] {
        cases.push(Case::Siblings {
            formats,
            tokens: 67,
            outputs: [70, 38, 161],
            inputs: 1280,
            bias,
        });
    }
    cases
}

/// Cases for a device that binds little at a time.
pub(super) fn sliced() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in [Format::F16, Format::Q4_0, Format::Q6_K] {
        cases.push(product(format, 1, 201, 512));
        cases.push(product(format, 20, 201, 512));
        cases.push(product(format, 20, 41, 1280));
        cases.push(siblings([format; 3], 2, false));
        cases.push(Case::Embed { format });
        cases.extend(heads(format));
        for tokens in [3, 70] {
            cases.push(Case::Experts {
                format,
                tokens,
                variant: Mixture::Limited,
            });
        }
    }
    cases
}

/// Heads as models have them, smaller ones, and steps that begin and end within the
/// convolution.
fn recurrent() -> Vec<Case> {
    let delta = |n_head_k, n_head_v, head_dim, width| {
        RecurrentShape::Delta(DeltaShape {
            n_head_k,
            n_head_v,
            head_dim,
            width,
            grouped: false,
        })
    };
    let grouped = RecurrentShape::Delta(DeltaShape {
        n_head_k: 2,
        n_head_v: 6,
        head_dim: 32,
        width: 4,
        grouped: true,
    });
    let conv = |channels, width| RecurrentShape::Conv(ConvShape { channels, width });
    let ssm = |n_group, n_head, head_dim, state, width| {
        RecurrentShape::Ssm(SsmShape {
            n_head,
            n_group,
            head_dim,
            state,
            width,
        })
    };
    let cases: [(_, &'static [usize], _); 13] = [
        (delta(2, 4, 128, 4), &[9], 9),
        (delta(2, 4, 128, 4), &[9, 1, 4], 2),
        (delta(1, 3, 16, 1), &[5], 5),
        (delta(2, 2, 48, 2), &[7, 3], 1),
        (delta(1, 2, 32, 16), &[20], 6),
        (grouped, &[5, 3], 2),
        (conv(48, 3), &[9, 1, 4], 2),
        (conv(16, 16), &[20], 6),
        (ssm(1, 4, 64, 128, 4), &[9], 9),
        (ssm(2, 4, 80, 128, 4), &[9, 1, 4], 2),
        (ssm(3, 3, 16, 16, 1), &[5], 5),
        (ssm(2, 6, 48, 48, 2), &[7, 3], 1),
        (ssm(1, 2, 32, 256, 16), &[20], 6),
    ];
    let case = |(shape, sequences, at_once)| Case::Recurrent {
        shape,
        sequences,
        at_once,
    };
    cases.into_iter().map(case).collect()
}

fn attention() -> Vec<Case> {
    let shape = |n_head, n_head_kv, head_dim_k, head_dim_v| AttentionShape {
        n_head,
        n_head_kv,
        head_dim_k,
        head_dim_v,
        scale: 3.0,
        window: None,
        cap: None,
    };
    // Scores of wide heads would leave nothing but the largest.
    let flat = |n_head, n_head_kv, head_dim_k, head_dim_v| AttentionShape {
        scale: 1.0,
        ..shape(n_head, n_head_kv, head_dim_k, head_dim_v)
    };
    let within = |window, shape| AttentionShape {
        window: Some(window),
        ..shape
    };
    let capped = |cap, shape| AttentionShape {
        cap: Some(cap),
        ..shape
    };
    // The widest that there are, which leave room for few queries in a workgroup.
    let widest = AttentionShape {
        scale: 0.3,
        ..shape(8, 1, 512, 512)
    };
    // A latent as key and value, beside what turns.
    let latent = AttentionShape {
        scale: 0.3,
        ..shape(8, 1, 576, 512)
    };
    let cases: &[(_, &'static [[usize; 2]])] = &[
        (shape(1, 1, 4, 4), &[[0, 1]]),
        (latent, &[[130, 1]]),
        (latent, &[[30, 20]]),
        (latent, &[[600, 1], [40, 1]]),
        (widest, &[[130, 1]]),
        (widest, &[[30, 20]]),
        (widest, &[[600, 1], [40, 1]]),
        (within(20, flat(4, 2, 256, 256)), &[[40, 20]]),
        (shape(4, 2, 64, 64), &[[127, 1]]),
        (shape(4, 2, 64, 64), &[[128, 1]]),
        (shape(8, 2, 128, 128), &[[40, 1]]),
        (shape(3, 1, 16, 8), &[[0, 50]]),
        (shape(6, 2, 20, 12), &[[100, 33]]),
        // Heads that are padded.
        (shape(4, 2, 10, 7), &[[30, 3]]),
        (shape(4, 2, 64, 33), &[[30, 1]]),
        // More keys than one workgroup should go through.
        (shape(2, 1, 32, 32), &[[1500, 1]]),
        (shape(2, 2, 32, 128), &[[1100, 3]]),
        // Several sequences in one dispatch, and in one and a part of another.
        (shape(8, 2, 128, 128), &[[5, 1], [0, 1]]),
        (
            shape(6, 2, 32, 64),
            &[[10, 1], [200, 1], [0, 1], [127, 1], [128, 1]],
        ),
        // More queries than a workgroup has.
        (shape(12, 1, 32, 32), &[[33, 1], [1, 1], [64, 1]]),
        // Splits of the keys that only some have, the last of them a single key.
        (
            shape(4, 2, 64, 64),
            &[[300, 1], [0, 1], [1500, 1], [512, 1]],
        ),
        // A prompt among them.
        (
            shape(2, 1, 32, 32),
            &[[40, 1], [3, 1], [10, 4], [0, 1], [700, 1]],
        ),
        // Heads that are padded.
        (shape(4, 2, 64, 33), &[[30, 1], [2, 1]]),
        // Many queries, which matrix units compute: whole tiles of them and parts,
        // padded heads, and keys that are split.
        (flat(6, 2, 64, 64), &[[0, 128]]),
        (flat(8, 2, 128, 128), &[[100, 70]]),
        (flat(3, 3, 96, 80), &[[300, 17]]),
        (flat(2, 1, 32, 128), &[[1500, 40]]),
        // Windows: of one position, that begin and end within chunks, at their ends and
        // in splits of the keys, of one token, several, and sequences together.
        (within(1, shape(4, 2, 16, 16)), &[[40, 3]]),
        (within(100, shape(4, 2, 64, 64)), &[[300, 1]]),
        (within(128, shape(4, 2, 64, 64)), &[[255, 1]]),
        (within(129, shape(6, 2, 20, 12)), &[[100, 70]]),
        (within(1030, shape(2, 1, 32, 32)), &[[1500, 1]]),
        (within(1200, shape(2, 2, 32, 128)), &[[1400, 3]]),
        (
            within(50, shape(8, 2, 32, 32)),
            &[[5, 1], [49, 1], [50, 1], [700, 1], [128, 1]],
        ),
        (within(40, flat(6, 2, 64, 64)), &[[0, 128]]),
        (within(64, flat(8, 2, 128, 128)), &[[100, 70]]),
        (within(1100, flat(2, 1, 32, 128)), &[[1500, 40]]),
        // Scores that are capped.
        (capped(2.0, shape(4, 2, 64, 64)), &[[127, 1]]),
        (capped(2.0, shape(4, 2, 64, 64)), &[[300, 1], [1500, 1]]),
        (capped(0.5, shape(3, 1, 16, 8)), &[[0, 50]]),
        (capped(1.0, flat(8, 2, 128, 128)), &[[100, 70]]),
    ];
    // Heads of whole groups, without and with splits of the keys.
    let before_products: [(_, &'static [[usize; 2]]); 7] = [
        (shape(4, 2, 64, 64), &[[127, 1]]),
        (shape(6, 2, 16, 32), &[[100, 33]]),
        (shape(2, 1, 32, 32), &[[1500, 1]]),
        (shape(2, 2, 32, 96), &[[1100, 3]]),
        (shape(4, 2, 64, 64), &[[127, 1], [3, 1]]),
        (shape(2, 1, 32, 32), &[[1500, 1], [20, 1], [700, 1]]),
        (shape(2, 1, 64, 96), &[[1100, 40]]),
    ];
    // As before products, and with windows, of few tokens and many.
    let with_sinks: [(_, &'static [[usize; 2]]); 6] = [
        (shape(4, 2, 64, 64), &[[127, 1]]),
        (shape(4, 2, 64, 33), &[[30, 3]]),
        (within(40, shape(2, 1, 32, 32)), &[[1500, 1]]),
        (shape(2, 1, 32, 32), &[[1500, 1], [20, 1], [700, 1]]),
        (shape(2, 1, 64, 96), &[[1100, 40]]),
        (within(64, flat(8, 2, 128, 128)), &[[100, 70]]),
    ];
    let case = |kv, shape, sequences, product| Case::Attention {
        kv,
        shape,
        sequences,
        sinks: false,
        product,
    };
    let with = |kv: KvFormat| {
        let of_kv = move |&(shape, sequences)| case(kv, shape, sequences, false);
        cases.iter().map(of_kv)
    };
    let with_product = before_products
        .into_iter()
        .map(|(shape, sequences)| case(KvFormat::F32, shape, sequences, true));
    let sinks = [KvFormat::F32, KvFormat::F16].into_iter().flat_map(|kv| {
        with_sinks.map(|(shape, sequences)| Case::Attention {
            kv,
            shape,
            sequences,
            sinks: true,
            product: false,
        })
    });
    let all = KvFormat::ALL.into_iter().flat_map(with);
    all.chain(with_product).chain(sinks).collect()
}

fn product(format: Format, tokens: usize, outputs: usize, inputs: usize) -> Case {
    Case::Product {
        format,
        tokens,
        outputs,
        inputs,
        residual: false,
    }
}

/// Outputs that end within what a workgroup has, together more than few.
fn siblings(formats: [Format; 3], tokens: usize, bias: bool) -> Case {
    Case::Siblings {
        formats,
        tokens,
        outputs: [70, 38, 161],
        inputs: 512,
        bias,
    }
}

fn gate_up(formats: [Format; 2], tokens: usize, outputs: usize, bias: bool) -> Case {
    Case::GateUp {
        formats,
        tokens,
        outputs,
        bias,
        activation: Activation::Silu,
        product: false,
    }
}

fn residual(format: Format, tokens: usize, outputs: usize, inputs: usize) -> Case {
    Case::Product {
        format,
        tokens,
        outputs,
        inputs,
        residual: true,
    }
}
