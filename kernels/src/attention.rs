//! Attention in its plainest form, keys and values as `f32`. To be replaced by the chunked cache.
#![allow(missing_docs)]
use crate::isa::Isa;
use crate::team::Region;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvFormat {
    F32,
    F16,
    Q8_0,
}
pub struct KvLayer {
    kd: usize,
    vd: usize,
    nkv: usize,
    k: Vec<f32>,
    v: Vec<f32>,
}
impl KvLayer {
    pub fn new(_: KvFormat, nkv: usize, kd: usize, vd: usize) -> Self {
        KvLayer {
            kd,
            vd,
            nkv,
            k: vec![],
            v: vec![],
        }
    }
    pub fn reserve(&mut self, p: usize) {
        self.k.resize(p * self.nkv * self.kd, 0.0);
        self.v.resize(p * self.nkv * self.vd, 0.0);
    }
    pub fn append(&mut self, _: &Region<'_>, _: Isa, k: &[f32], v: &[f32], p: usize) {
        self.k[p * self.nkv * self.kd..][..k.len()].copy_from_slice(k);
        self.v[p * self.nkv * self.vd..][..v.len()].copy_from_slice(v);
    }
}
pub struct AttentionSeq<'a> {
    pub cache: &'a KvLayer,
    pub first_row: usize,
    pub tokens: usize,
    pub position: usize,
}
pub struct Heads {
    pub n_head: usize,
    pub n_head_kv: usize,
    pub head_dim_k: usize,
    pub head_dim_v: usize,
    pub scale: f32,
}
pub struct Workspace;
impl Workspace {
    pub fn new(_: usize) -> Self {
        Workspace
    }
}
pub fn attention(
    _: &Region<'_>,
    _: Isa,
    _: &mut Workspace,
    out: &mut [f32],
    q: &[f32],
    seqs: &[AttentionSeq<'_>],
    h: &Heads,
) {
    let (kd, vd) = (h.head_dim_k, h.head_dim_v);
    for s in seqs {
        for t in 0..s.tokens {
            for head in 0..h.n_head {
                let kvh = head / (h.n_head / h.n_head_kv);
                let q = &q[((s.first_row + t) * h.n_head + head) * kd..][..kd];
                let n = s.position + t + 1;
                let mut p: Vec<f32> = (0..n)
                    .map(|j| {
                        let k = &s.cache.k[(j * h.n_head_kv + kvh) * kd..][..kd];
                        q.iter().zip(k).map(|(a, b)| a * b).sum::<f32>() * h.scale
                    })
                    .collect();
                let m = p.iter().copied().fold(f32::MIN, f32::max);
                p.iter_mut().for_each(|x| *x = (*x - m).exp());
                let sum: f32 = p.iter().sum();
                let o = &mut out[((s.first_row + t) * h.n_head + head) * vd..][..vd];
                o.fill(0.0);
                for (j, p) in p.iter().enumerate() {
                    let v = &s.cache.v[(j * h.n_head_kv + kvh) * vd..][..vd];
                    for (o, v) in o.iter_mut().zip(v) {
                        *o += p / sum * v;
                    }
                }
            }
        }
    }
}
impl std::fmt::Display for KvFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        })
    }
}
impl std::str::FromStr for KvFormat {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "q8_0" => Ok(Self::Q8_0),
            _ => Err(format!(
                "unknown cache format {s:?}, expected f32, f16 or q8_0"
            )),
        }
    }
}
