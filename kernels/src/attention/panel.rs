//! The product that both halves of attention are: a few rows against panels of
//! sixteen lanes.
//!
//! ```text
//! acc[r][n] += a[r][i] · b[n][i]        i ascending, one fma each
//!
//! scores:  a = query rows, i = dimension, b[n] = 16 keys, transposed
//! values:  a = weights p,  i = position,  b[n] = 16 dimensions of the values
//! ```

use crate::format::F16;
use crate::lanes::{LANES, Lanes};

/// What panels are made of: converted to `f32`, exactly, as they are read.
pub trait Element: bytemuck::Pod + Send + Sync {
    /// Sixteen of them as `f32`.
    fn load<L: Lanes>(l: L, from: &[Self; LANES]) -> L::F;
}

impl Element for f32 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[f32; LANES]) -> L::F {
        l.load(from)
    }
}

impl Element for F16 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[F16; LANES]) -> L::F {
        l.load_f16(from)
    }
}

impl Element for i8 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[i8; LANES]) -> L::F {
        l.load_i8(from)
    }
}

/// Views the bytes of a cache as a panel.
///
/// # Panics
///
/// If they are not aligned as `E` is: heads start on cache lines.
pub fn panel<E: Element>(bytes: &[u8]) -> &[[E; LANES]] {
    bytemuck::cast_slice::<_, E>(bytes).as_chunks().0
}

/// As [`panel`], to be written.
pub fn panel_mut<E: Element>(bytes: &mut [u8]) -> &mut [[E; LANES]] {
    bytemuck::cast_slice_mut::<_, E>(bytes).as_chunks_mut().0
}

/// `acc` and the product of `R` rows with `N` panels, all of equal length.
#[inline(always)]
pub fn product<L: Lanes, E: Element, const R: usize, const N: usize>(
    l: L,
    a: [&[f32]; R],
    b: [&[[E; LANES]]; N],
    mut acc: [[L::F; N]; R],
) -> [[L::F; N]; R] {
    let len = b[0].len();
    // So that the compiler sees that no index is out of bounds.
    let a = a.map(|a| &a[..len]);
    let b = b.map(|b| &b[..len]);
    for i in 0..len {
        let b: [L::F; N] = std::array::from_fn(|n| E::load(l, &b[n][i]));
        for r in 0..R {
            let a = l.splat(a[r][i]);
            for n in 0..N {
                acc[r][n] = l.fma(a, b[n], acc[r][n]);
            }
        }
    }
    acc
}

/// A panel as `f32`.
#[inline(always)]
pub fn widen<'t, L: Lanes, E: Element>(
    l: L,
    from: &[[E; LANES]],
    to: &'t mut Vec<[f32; LANES]>,
) -> &'t [[f32; LANES]] {
    to.resize(from.len(), [0.0; LANES]);
    for (from, to) in from.iter().zip(to.iter_mut()) {
        l.store(E::load(l, from), to);
    }
    to
}
