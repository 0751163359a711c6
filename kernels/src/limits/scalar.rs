//! The byte multiply-add in portable Rust: what the compiler makes of it.

use std::hint::black_box;

/// Bytes in a turn.
const BYTES: usize = 256;

/// Makes `turns` turns and returns the operations.
pub fn dot(turns: usize) -> u64 {
    let (weights, activations) = (black_box([3_i8; BYTES]), black_box([5_i8; BYTES]));
    let mut sum = 0_i32;
    for _ in 0..turns {
        let (weights, activations) = (black_box(&weights), black_box(&activations));
        let products = weights.iter().zip(activations);
        sum = products.fold(sum, |sum, (&w, &x)| {
            sum.wrapping_add(i32::from(w) * i32::from(x))
        });
    }
    black_box(sum);
    (turns * BYTES * 2) as u64
}
