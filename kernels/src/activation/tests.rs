//! Quantizers against the definition, and where things lie.

use super::*;
use bytemuck::Zeroable;

#[test]
fn halves_fill_an_octet_and_pairs_lie_side_by_side() {
    let mut offsets: Vec<_> = (16..32).map(half_offset).collect();
    assert_eq!(
        offsets[8],
        offsets[0] + 16,
        "first halves of groups 0 and 4"
    );
    assert_eq!(
        offsets[15],
        offsets[7] + 16,
        "last halves of groups 3 and 7"
    );
    offsets.sort();
    assert_eq!(offsets, (0..16).map(|i| 256 + 16 * i).collect::<Vec<_>>());
}

/// Where half `index` has its lane among those of its octet, in lane order.
#[inline(always)]
const fn lane(index: usize) -> usize {
    let (group, half) = (index / 2 % OCTET, index % 2);
    OCTET * half + group
}

/// Where the first four quants of half `index` lie in lane order; the others
/// follow 64 bytes apart.
#[inline(always)]
const fn lane_offset(index: usize) -> usize {
    OCTET_LEN * (index / (2 * OCTET)) + 4 * lane(index)
}

#[test]
fn steps_of_all_halves_lie_side_by_side_in_lane_order() {
    let mut offsets: Vec<_> = (16..32).map(lane_offset).collect();
    assert_eq!(offsets[2], offsets[0] + 4, "first halves of groups 0 and 1");
    assert_eq!(offsets[1], offsets[0] + 32, "halves of group 0");
    offsets.sort();
    assert_eq!(offsets, (0..16).map(|i| 256 + 4 * i).collect::<Vec<_>>());
}

#[test]
fn scales_are_the_next_sum_or_difference_of_two_powers_of_two() {
    let mantissas = [8, 9, 10, 12, 14, 15, 16];
    for eighths in [
        8.0, 8.001, 9.0, 9.5, 10.0, 10.01, 11.0, 12.0, 12.5, 13.0, 14.9, 15.0, 15.01,
    ] {
        let d = scale_for(127.0 * eighths * 0.125) * 8.0;
        let next = mantissas
            .map(f64::from)
            .into_iter()
            .find(|&m| m >= eighths as f64 - 1e-5);
        assert_eq!(Some(f64::from(d)), next, "{eighths} eighths");
    }
    let mut random = crate::selftest::Random(5);
    for exponent in -99..110 {
        let amax = (1.0 + random.float().abs()) * 2_f32.powi(exponent) * 0.5;
        let d = scale_for(amax);
        let (quotient, exact) = (f64::from(amax) / f64::from(d), f64::from(amax) / 127.0);
        assert!(
            quotient < 127.0 + 1e-4 && f64::from(d) <= exact * 1.2001,
            "{amax}"
        );
        let inverse = 1.0 / d;
        assert!((amax * inverse).round_ties_even() <= 127.0);
    }
    assert_eq!(AMAX_CEILING, 2_f32.powi(110));
}

/// The quants of half `index` in lane order.
fn lane_half(q: &[i8], index: usize) -> [i8; 16] {
    std::array::from_fn(|i| q[lane_offset(index) + i / 4 * 64 + i % 4])
}

#[test]
fn every_set_quantizes_alike() {
    let mut random = crate::selftest::Random(11);
    let specials = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        AMAX_CEILING,
        1.2e33,
        1e-30,
        0.99e-30,
        1e-40,
        -0.0,
    ];
    for len in [0_usize, 1, 15, 16, 17, 31, 32, 33, 100, 255, 256, 257, 700] {
        for special in specials.map(Some).into_iter().chain([None]) {
            let scale = 10_f32.powi((len % 7) as i32 * 5 - 15);
            let mut x: Vec<f32> = (0..len).map(|_| random.float() * scale).collect();
            if let Some(special) = special {
                x.iter_mut().step_by(45).for_each(|x| *x = special);
            }
            let groups = len.next_multiple_of(OCTET_LEN) / GROUP;
            let run = |isa: Isa| -> Quantized {
                let order = Order::of(isa, Scaling::of_this_processor(), 1);
                let lanes = order == Order::Lanes;
                let [scales, of_halves, negative] = order.per_row(groups);
                let mut q = vec![1_i8; groups * GROUP];
                let (mut d, mut xsum) = (vec![1.0; scales], vec![1.0; scales]);
                let (mut sums, mut neg_sums) = (vec![1_i16; of_halves], vec![1; negative]);
                let mut out = Int8RowMut {
                    q: &mut q,
                    d: &mut d,
                    xsum: &mut xsum,
                    sums: &mut sums,
                    neg_sums: &mut neg_sums,
                };
                quantizer(isa)(&x, &mut out);
                let halves: Vec<[i8; 16]> = (0..groups * 2)
                    .map(|index| match lanes {
                        true => lane_half(&q, index),
                        false => *q[half_offset(index)..].first_chunk().unwrap(),
                    })
                    .collect();
                if lanes {
                    let at = |index| index / 16 * 16 + lane(index);
                    sums = (0..groups * 2).map(|i| -neg_sums[at(i)] as i16).collect();
                    for of_lanes in [&mut d, &mut xsum] {
                        let of = |half| (0..groups).map(move |g| 2 * g + half);
                        let [first, last] = [0, 1]
                            .map(|half| of(half).map(|i| of_lanes[at(i)]).collect::<Vec<_>>());
                        assert_eq!(bits(&first), bits(&last));
                        *of_lanes = first;
                    }
                }
                (halves, bits(&d), bits(&xsum), sums)
            };
            let expected = run(Isa::Scalar);
            for isa in Isa::available() {
                let what = format!("{isa}, {len} values with {special:?}");
                assert_eq!(expected, run(isa), "{what}");
            }
            if Isa::Avx512.is_available() {
                two_rows_hold_the_same(&x, &expected);
            }
        }
    }
}

/// The bits of values, of a NaN always the same.
fn bits(values: &[f32]) -> Vec<u32> {
    let one_nan = |v: f32| if v.is_nan() { f32::NAN } else { v };
    values.iter().map(|&v| one_nan(v).to_bits()).collect()
}

/// What a row is quantized to: halves, bits of scales and of scaled sums, sums.
type Quantized = (Vec<[i8; 16]>, Vec<u32>, Vec<u32>, Vec<i16>);

/// Checks a row beside its negative, whichever way sums are scaled.
fn two_rows_hold_the_same(x: &[f32], (halves, d, xsum, sums): &Quantized) {
    let negative: Vec<f32> = x.iter().map(|x| -x).collect();
    let quantize = |scaling| {
        let mut pairs = vec![Pair::zeroed(); d.len() / OCTET];
        quantize_pair([x, &negative], scaling, &mut pairs);
        pairs
    };
    let [pairs, multiplying] = Scaling::ALL.map(quantize);
    for (adding, multiplying) in pairs.iter().zip(&multiplying) {
        let same = Pair {
            by: adding.by,
            bits: adding.bits,
            ..*multiplying
        };
        assert_eq!(bytemuck::bytes_of(adding), bytemuck::bytes_of(&same));
    }
    for (index, half) in halves.iter().enumerate() {
        let (pair, group, g) = (&pairs[index / 16], index / 2, index / 2 % OCTET);
        for (i, &q) in half.iter().enumerate() {
            let (step, at) = (&pair.q[i / 4 * 2 + index % 2], 4 * g + i % 4);
            assert_eq!([step[at], step[at + 32]], [q, -q]);
        }
        let of_half = &pair.neg_sums[index % 2];
        assert_eq!([of_half[g], -of_half[g + 8]], [-i32::from(sums[index]); 2]);
        let scale = f32::from_bits(d[group]);
        assert_eq!(
            bits(&[pair.ones[g], pair.ones[g + 8]]),
            bits(&[scale * ONES; 2])
        );
        assert_eq!(bits(&[pair.xsum[g]]), [xsum[group]]);
        // Scaled by additions alone, and by a multiplication.
        for isum in [0, 1, -1, 77, -520_000, 520_191] {
            let expected = bits(&[scale * isum as f32 + 0.0]);
            let begun = pair.bits[g] + isum;
            let other = f32::from_bits(begun.wrapping_add(pair.by[g]) as u32);
            let scaled = f32::from_bits(begun as u32) - pair.ones[g] + other;
            assert_eq!(bits(&[scaled]), expected, "{scale} {isum}");
            let pair = &multiplying[index / 16];
            let begun = f32::from_bits((pair.bits[g] + isum) as u32);
            let scaled = begun.mul_add(f32::from_bits(pair.by[g] as u32), -pair.ones[g]);
            assert_eq!(bits(&[scaled]), expected, "{scale} {isum}");
        }
    }
}
