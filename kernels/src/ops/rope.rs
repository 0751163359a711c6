//! Rotary position embedding: pairs of a head's dimensions turned by an angle
//! that grows with the position.
//!
//! # Definition
//!
//! A head's first `n_rot` dimensions are `n_rot / 2` pairs; the rest stay as
//! they are.
//!
//! ```text
//! Pairing::Adjacent   (0, 1) (2, 3) (4, 5) …
//! Pairing::Halves     (0, h) (1, h+1) …        h = n_rot / 2
//!
//! a' = fma(a, cos θ, −(b · sin θ))
//! b' = fma(b, cos θ,   a · sin θ)
//! ```
//!
//! The angle of pair `i` at position `p` is `θ = p · f[i]`, computed in `f64`
//! with the functions of `elementary`; sine and cosine are rounded to `f32` at
//! the end. The frequencies:
//!
//! ```text
//! f[i] = base^(−2i / n_rot) / factors[i]                  factors optional
//! f[i] = f[i] / factor                                    RopeScaling::Linear
//! f[i] = f[i] · (γ[i] + (1 − γ[i]) / factor)              RopeScaling::Yarn
//! ```
//!
//! YaRN keeps what turns often within the original context and stretches what
//! turns seldom; in between, `γ` falls linearly in `i`:
//!
//! ```text
//! pair(r) = n_rot · ln(original_context / (2π·r)) / (2 · ln base)    turns r times
//! low     = max(⌊pair(beta_fast)⌋, 0)
//! high    = min(⌈pair(beta_slow)⌉, n_rot − 1)
//! γ[i]    = 1 − (i − low) / max(high − low, 0.001)                   clamped to 0..=1
//! ```
//!
//! and its sines and cosines are multiplied by `attention_factor · (1 + 0.1 · ln
//! factor)`.
//!
//! Sources: Su et al., "RoFormer", 2021; Peng et al., "YaRN: Efficient Context
//! Window Extension of Large Language Models", 2023, with the rounding of its
//! published code.

use super::elementary::{MAX_ANGLE, ln, pow, sin_cos};
use super::unit_rows;
use crate::inlined::zip;
use crate::isa::Isa;
use crate::lanes::{Lanes, Op};
use crate::team::Region;

/// Which dimensions of a head make a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Neighbours: 0 and 1, 2 and 3, …
    Adjacent,
    /// One of the first half and one of the second: 0 and `n_rot / 2`, …
    Halves,
}

/// How the context is extended beyond what the model was trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All angles divided by this factor.
    Linear(f64),
    /// By frequency.
    Yarn(Yarn),
}

/// Parameters of YaRN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// How many times longer the context is than the original one.
    pub factor: f64,
    /// Positions of the original context.
    pub original_context: usize,
    /// Pairs that turn more often than this in the original context keep their
    /// frequency; usually 32.
    pub beta_fast: f64,
    /// Pairs that turn less often than this are stretched fully; usually 1.
    pub beta_slow: f64,
    /// A further factor on sines and cosines; usually 1.
    pub attention_factor: f64,
}

/// The last position for which there are angles.
const MAX_POSITION: usize = 1 << 30;
/// The most radians by which a pair may turn from one position to the next. Without
/// factors below 1 it is 1.
const MAX_FREQUENCY: f64 = 1.5;
const _: () = assert!(MAX_POSITION as f64 * MAX_FREQUENCY <= MAX_ANGLE);

/// The parameters make no rotation.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum RopeError {
    /// `n_rot` is odd or zero.
    #[error("rope over {0} dimensions, expected an even number above 0")]
    Dimensions(usize),
    /// The base is not usable.
    #[error("rope base {0}, expected a finite number above 1")]
    Base(f64),
    /// A scaling factor is not usable.
    #[error("rope {name} {value}, expected a finite number above 0")]
    Factor {
        /// Which one.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// There are not as many frequency factors as pairs.
    #[error("{found} rope frequency factors for {pairs} pairs of dimensions")]
    FactorCount {
        /// Pairs of dimensions.
        pairs: usize,
        /// Frequency factors.
        found: usize,
    },
    /// Factors make a pair turn further in a position than angles are computed for.
    #[error("rope turns by {0} radians for each position, expected up to {MAX_FREQUENCY}")]
    Frequency(f64),
}

/// The frequencies of a model.
#[derive(Clone, Debug)]
pub struct Rope {
    pairing: Pairing,
    frequencies: Vec<f64>,
    magnitude: f64,
}

impl Rope {
    /// Computes the frequencies for heads whose first `n_rot` dimensions turn.
    pub fn new(
        pairing: Pairing,
        n_rot: usize,
        base: f64,
        factors: Option<&[f32]>,
        scaling: RopeScaling,
    ) -> Result<Rope, RopeError> {
        if n_rot == 0 || !n_rot.is_multiple_of(2) {
            return Err(RopeError::Dimensions(n_rot));
        }
        if !(base.is_finite() && base > 1.0) {
            return Err(RopeError::Base(base));
        }
        let pairs = n_rot / 2;
        if let Some(factors) = factors {
            if factors.len() != pairs {
                return Err(RopeError::FactorCount {
                    pairs,
                    found: factors.len(),
                });
            }
            for &factor in factors {
                positive("frequency factor", f64::from(factor))?;
            }
        }
        let plain = |i: usize| {
            let frequency = pow(base, -((2 * i) as f64) / n_rot as f64);
            frequency / factors.map_or(1.0, |factors| f64::from(factors[i]))
        };
        let mut frequencies: Vec<f64> = (0..pairs).map(plain).collect();
        let mut magnitude = 1.0;
        match scaling {
            RopeScaling::None => {}
            RopeScaling::Linear(factor) => {
                positive("scaling factor", factor)?;
                frequencies.iter_mut().for_each(|f| *f /= factor);
            }
            RopeScaling::Yarn(yarn) => {
                magnitude = yarn.stretch(&mut frequencies, base)?;
            }
        }
        match frequencies.iter().find(|&&f| f > MAX_FREQUENCY) {
            Some(&frequency) => Err(RopeError::Frequency(frequency)),
            None => Ok(Rope {
                pairing,
                frequencies,
                magnitude,
            }),
        }
    }

    /// Which dimensions make a pair.
    pub fn pairing(&self) -> Pairing {
        self.pairing
    }

    /// The dimensions of a head that turn.
    pub fn n_rot(&self) -> usize {
        2 * self.frequencies.len()
    }

    /// Computes the angles of `positions`, one per row of a step.
    ///
    /// # Panics
    ///
    /// If a position is above 2^30.
    pub fn angles(&self, positions: &[usize], angles: &mut RopeAngles) {
        let n_rot = self.n_rot();
        angles.pairing = self.pairing;
        angles.n_rot = n_rot;
        angles.cos.resize(positions.len() * n_rot, 0.0);
        angles.sin.resize(positions.len() * n_rot, 0.0);
        let rows = angles.cos.chunks_exact_mut(n_rot);
        let rows = zip(rows, angles.sin.chunks_exact_mut(n_rot));
        for ((cos_row, sin_row), &position) in zip(rows, positions) {
            for (i, frequency) in self.frequencies.iter().enumerate() {
                let (sin, cos) = sin_cos(position as f64 * frequency);
                let sin = (sin * self.magnitude) as f32;
                let cos = (cos * self.magnitude) as f32;
                let (a, b) = match self.pairing {
                    Pairing::Adjacent => (2 * i, 2 * i + 1),
                    Pairing::Halves => (i, i + n_rot / 2),
                };
                (cos_row[a], cos_row[b]) = (cos, cos);
                (sin_row[a], sin_row[b]) = (-sin, sin);
            }
        }
    }
}

fn positive(name: &'static str, value: f64) -> Result<(), RopeError> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(RopeError::Factor { name, value })
    }
}

impl Yarn {
    /// Stretches `frequencies`; returns the factor on sines and cosines.
    fn stretch(&self, frequencies: &mut [f64], base: f64) -> Result<f64, RopeError> {
        positive("scaling factor", self.factor)?;
        positive("original context", self.original_context as f64)?;
        positive("beta_fast", self.beta_fast)?;
        positive("beta_slow", self.beta_slow)?;
        positive("attention factor", self.attention_factor)?;
        let n_rot = (2 * frequencies.len()) as f64;
        let pair = |turns: f64| {
            let wavelength = self.original_context as f64 / (std::f64::consts::TAU * turns);
            n_rot * ln(wavelength) / (2.0 * ln(base))
        };
        let low = pair(self.beta_fast).floor().max(0.0);
        let high = pair(self.beta_slow).ceil().min(n_rot - 1.0);
        let width = (high - low).max(0.001);
        for (i, frequency) in frequencies.iter_mut().enumerate() {
            let gamma = 1.0 - ((i as f64 - low) / width).clamp(0.0, 1.0);
            *frequency *= gamma + (1.0 - gamma) / self.factor;
        }
        Ok(self.attention_factor * (1.0 + 0.1 * ln(self.factor)))
    }
}

/// Cosines and signed sines of the rows of a step, laid out like the rows they
/// turn. Computed once per step and used by all layers.
///
/// ```text
/// cos [rows][n_rot]   cos θ  at both dimensions of a pair
/// sin [rows][n_rot]   −sin θ at the first, sin θ at the second
/// ```
///
/// so that `x'[j] = fma(x[j], cos[j], x[partner of j] · sin[j])`.
#[derive(Clone, Debug)]
pub struct RopeAngles {
    pairing: Pairing,
    n_rot: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Default for RopeAngles {
    fn default() -> Self {
        RopeAngles {
            pairing: Pairing::Adjacent,
            n_rot: 0,
            cos: Vec::new(),
            sin: Vec::new(),
        }
    }
}

impl RopeAngles {
    /// Cosines, `[rows, n_rot]`.
    pub fn cos(&self) -> &[f32] {
        &self.cos
    }

    /// Signed sines, `[rows, n_rot]`.
    pub fn sin(&self) -> &[f32] {
        &self.sin
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.cos.len().checked_div(self.n_rot).unwrap_or(0)
    }
}

/// Some heads that turn by the same angles.
struct Turn<'a> {
    pairing: Pairing,
    heads: &'a mut [f32],
    head_dim: usize,
    cos: &'a [f32],
    sin: &'a [f32],
}

impl Op for Turn<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let n_rot = self.cos.len();
        for head in self.heads.chunks_exact_mut(self.head_dim) {
            let head = &mut head[..n_rot];
            match self.pairing {
                Pairing::Adjacent => adjacent(l, head, self.cos, self.sin),
                Pairing::Halves => {
                    let (cos, _) = self.cos.split_at(n_rot / 2);
                    let (_, sin) = self.sin.split_at(n_rot / 2);
                    let (a, b) = head.split_at_mut(n_rot / 2);
                    halves(l, a, b, cos, sin);
                }
            }
        }
    }
}

#[inline(always)]
fn adjacent<L: Lanes>(l: L, x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (x, x_tail) = x.as_chunks_mut();
    let (cos, cos_tail) = cos.as_chunks();
    let (sin, sin_tail) = sin.as_chunks();
    for ((x, cos), sin) in zip(zip(x.iter_mut(), cos), sin) {
        let v = l.load(x);
        let crossed = l.mul(l.swap_pairs(v), l.load(sin));
        l.store(l.fma(v, l.load(cos), crossed), x);
    }
    if !x_tail.is_empty() {
        let v = l.load_part(x_tail, 0.0);
        let crossed = l.mul(l.swap_pairs(v), l.load_part(sin_tail, 0.0));
        l.store_part(l.fma(v, l.load_part(cos_tail, 0.0), crossed), x_tail);
    }
}

/// `sin` is that of the second half, with its natural sign.
#[inline(always)]
fn halves<L: Lanes>(l: L, a: &mut [f32], b: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (a, a_tail) = a.as_chunks_mut();
    let (b, b_tail) = b.as_chunks_mut();
    let (cos, cos_tail) = cos.as_chunks();
    let (sin, sin_tail) = sin.as_chunks();
    for i in 0..a.len() {
        let (cos, sin) = (l.load(&cos[i]), l.load(&sin[i]));
        let (new_a, new_b) = turn(l, l.load(&a[i]), l.load(&b[i]), cos, sin);
        l.store(new_a, &mut a[i]);
        l.store(new_b, &mut b[i]);
    }
    if !a_tail.is_empty() {
        let (cos, sin) = (l.load_part(cos_tail, 0.0), l.load_part(sin_tail, 0.0));
        let (old_a, old_b) = (l.load_part(a_tail, 0.0), l.load_part(b_tail, 0.0));
        let (new_a, new_b) = turn(l, old_a, old_b, cos, sin);
        l.store_part(new_a, a_tail);
        l.store_part(new_b, b_tail);
    }
}

/// Sixteen pairs `(a, b)`, turned.
#[inline(always)]
fn turn<L: Lanes>(l: L, a: L::F, b: L::F, cos: L::F, sin: L::F) -> (L::F, L::F) {
    let minus_sin = l.mul(sin, l.splat(-1.0));
    (
        l.fma(a, cos, l.mul(b, minus_sin)),
        l.fma(b, cos, l.mul(a, sin)),
    )
}

/// Turns all heads of `x`, `[rows of angles, heads, head_dim]`, in place.
///
/// # Panics
///
/// If `x` does not hold as many rows as there are angles, of whole heads, or
/// heads are shorter than what turns.
pub fn rope(region: &Region<'_>, isa: Isa, x: &mut [f32], head_dim: usize, angles: &RopeAngles) {
    let RopeAngles { pairing, n_rot, .. } = *angles;
    let rows = angles.rows();
    let cols = x.len().checked_div(rows).unwrap_or(0);
    assert!(
        rows * cols == x.len() && cols.is_multiple_of(head_dim) && n_rot <= head_dim,
        "{} values, {rows} rows, heads of {head_dim} of which {n_rot} turn",
        x.len(),
    );
    if x.is_empty() {
        return;
    }
    let unit = unit_rows(cols);
    region.chunks_mut(x, unit * cols, |index, rows| {
        for (row, heads) in rows.chunks_exact_mut(cols).enumerate() {
            let at = (index * unit + row) * n_rot;
            isa.run(Turn {
                pairing,
                heads,
                head_dim,
                cos: &angles.cos[at..][..n_rot],
                sin: &angles.sin[at..][..n_rot],
            });
        }
    });
}
