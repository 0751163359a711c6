//! What cases are called.

use super::case::{Before, Case};
use super::experts::Mixture;
use kernels::Format;
use kernels::recurrent::{ConvShape, DeltaShape, RecurrentShape, SsmShape};
use std::fmt;

impl Case {
    /// The name of the operation.
    pub fn op(&self) -> &'static str {
        match self {
            Case::Product { .. } | Case::Siblings { .. } => "matmul",
            Case::GateUp { product: false, .. } => "gate_up",
            Case::GateUp { product: true, .. } => "gate_up, matmul",
            Case::Chain { before, .. } => match before {
                Before::Norm(_) => "norm, matmul",
                Before::Gate => "gate_mul, matmul",
                Before::Activation => "activate, matmul",
            },
            Case::Embed { .. } => "embed",
            Case::Norm { added: false, .. } => "norm",
            Case::Norm { added: true, .. } => "norm_add",
            Case::Gate { alone: false, .. } => "gate_mul",
            Case::Gate { alone: true, .. } => "activate",
            Case::Rope { .. } | Case::Attention { product: false, .. } => "attention",
            Case::Attention { product: true, .. } => "attention, matmul",
            Case::Select => "select",
            Case::Pieces { .. } => "deal, join",
            Case::Heads { .. } => "head_products",
            Case::ScaleRows => "scale_rows",
            Case::ScaleBy => "scale_by",
            Case::Sigmoid { by_row: false } => "sigmoid_mul",
            Case::Sigmoid { by_row: true } => "sigmoid_rows",
            Case::Recurrent { shape, .. } => match shape {
                RecurrentShape::Conv(_) => "short_conv",
                RecurrentShape::Delta(_) => "delta_net",
                RecurrentShape::Ssm(_) => "ssm",
            },
            Case::Mul => "mul",
            Case::Xielu => "xielu",
            Case::Highest { .. } => "highest",
            Case::Experts { .. } => "experts",
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Case::Product {
                format,
                tokens,
                outputs,
                inputs,
                residual,
            } => {
                let added = if *residual { ", added, bias" } else { "" };
                let name = format.name();
                write!(f, "{name} {tokens} x {outputs} x {inputs}{added}")
            }
            Case::Siblings {
                formats,
                tokens,
                outputs: [q, k, v],
                inputs,
                bias,
            } => {
                let [a, b, c] = formats.map(Format::name);
                let added = if *bias { ", bias" } else { "" };
                write!(
                    f,
                    "{a}, {b}, {c} {tokens} x {q}, {k}, {v} x {inputs}{added}"
                )
            }
            Case::GateUp {
                formats: [a, b],
                tokens,
                outputs,
                bias,
                activation,
                ..
            } => {
                let added = if *bias { ", bias" } else { "" };
                let (a, b) = (a.name(), b.name());
                write!(f, "{activation:?} {a}, {b} {tokens} x {outputs}{added}")
            }
            Case::Chain { before, cols } => match before {
                Before::Norm(kind) => write!(f, "{kind:?}, Q8_0 {cols}"),
                Before::Gate | Before::Activation => write!(f, "Q8_0 {cols}"),
            },
            Case::Embed { format } => write!(f, "{}", format.name()),
            Case::Norm {
                kind,
                bias,
                rows,
                pieces,
                own,
                width,
                ..
            } => {
                write!(f, "{kind:?} {rows} x {pieces} x {width}")?;
                f.write_str(if *own { ", own weights" } else { "" })?;
                f.write_str(if *bias { ", bias" } else { "" })
            }
            Case::Gate {
                activation,
                rows,
                cols,
                ..
            } => write!(f, "{activation:?} {rows} x {cols}"),
            Case::Rope {
                pairing,
                head_dim,
                n_rot,
                norms,
            } => {
                match pairing {
                    Some(pairing) => write!(f, "{pairing:?} {n_rot} of {head_dim}")?,
                    None => write!(f, "not turned, {head_dim}")?,
                }
                let Some(norms) = norms else { return Ok(()) };
                write!(f, ", {:?} norms", norms.kind)?;
                f.write_str(if norms.own { ", own weights" } else { "" })?;
                f.write_str(if norms.after_turn { ", after it" } else { "" })
            }
            Case::Attention {
                kv,
                shape,
                sequences,
                sinks,
                ..
            } => {
                write!(
                    f,
                    "{kv} {}/{} heads of {}/{}",
                    shape.n_head, shape.n_head_kv, shape.head_dim_k, shape.head_dim_v
                )?;
                if *sinks {
                    f.write_str(", sinks")?;
                }
                if let Some(cap) = shape.cap {
                    write!(f, ", capped at {cap}")?;
                }
                if let Some(window) = shape.window {
                    write!(f, ", window of {window}")?;
                }
                let mut each = sequences.iter();
                each.try_for_each(|[past, tokens]| write!(f, ", {tokens} after {past}"))
            }
            Case::Select => f.write_str("3 rows of 33"),
            Case::Pieces {
                rows,
                widths: [a, b],
            } => write!(f, "{rows} rows in pieces of {a} and {b}"),
            Case::Heads {
                format,
                tokens,
                outputs,
            } => write!(f, "{} {tokens} tokens x {outputs}", format.name()),
            Case::Mul | Case::Xielu | Case::ScaleRows | Case::ScaleBy | Case::Sigmoid { .. } => {
                f.write_str("5 rows of 33")
            }
            Case::Recurrent {
                shape,
                sequences,
                at_once,
            } => {
                match shape {
                    RecurrentShape::Conv(_) => {}
                    RecurrentShape::Delta(shape) => {
                        let DeltaShape {
                            n_head_k, n_head_v, ..
                        } = shape;
                        let (dim, together) = (shape.head_dim, shape.grouped);
                        let together = if together { " together" } else { "" };
                        write!(f, "{n_head_k}/{n_head_v} heads of {dim}{together}, ")?;
                    }
                    RecurrentShape::Ssm(shape) => {
                        let SsmShape {
                            n_head, n_group, ..
                        } = shape;
                        let [dim, state] = [shape.head_dim, shape.state];
                        write!(f, "{n_head}/{n_group} heads of {dim} x {state}, ")?;
                    }
                }
                let ConvShape { channels, width } = shape.conv();
                write!(
                    f,
                    "{channels} channels, width {width}, {sequences:?} tokens, {at_once} at once"
                )
            }
            Case::Highest { cols, count } => write!(f, "{count} of {cols}"),
            Case::Experts {
                format,
                tokens,
                variant,
            } => {
                let variant = match variant {
                    Mixture::Plain => "",
                    Mixture::Limited => ", limited, biases",
                    Mixture::Softmax => ", softmax of all",
                    Mixture::Sigmoid => ", sigmoid, chosen with a bias",
                    Mixture::Apart => ", router apart, factors",
                    Mixture::Groups => ", sigmoid, chosen with a bias of groups",
                    Mixture::Ungated => ", without gates",
                    Mixture::Many => ", many experts",
                };
                write!(f, "{} {tokens} tokens{variant}", format.name())
            }
        }
    }
}
