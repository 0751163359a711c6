//! Every operation of every instruction set against the scalar one.

use super::*;
use crate::format::FloatWeight;

/// Everything that is special about an `f32`, and some that is not.
const VALUES: [f32; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1.5,
    2.5,
    -2.5,
    3.999,
    -126.5,
    127.49,
    65504.0,
    65519.9,
    65520.0,
    5.96e-8,
    -6.1e-5,
    1e-40,
    -3e-45,
    f32::MIN_POSITIVE,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// Sixteen values, other ones for each `seed`.
fn values(seed: usize) -> [f32; LANES] {
    std::array::from_fn(|i| VALUES[(seed * 7 + i * (2 * (seed / 24) + 1)) % VALUES.len()])
}

/// Whole numbers and where [`Lanes::scale_pow2`] puts them.
fn exponents(seed: usize) -> [f32; LANES] {
    std::array::from_fn(|i| ((seed * 31 + i * 37) % 507) as f32 - 252.0)
}

/// The results of all operations on some values: bits of floats (NaNs as one)
/// and integers.
struct All(usize);

impl Op for All {
    type Out = Vec<(&'static str, Vec<u32>)>;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Self::Out {
        let mut out = Vec::new();
        let bits = |v: f32| {
            if v.is_nan() {
                f32::NAN.to_bits()
            } else {
                v.to_bits()
            }
        };
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| values(self.0 * 4 + i));
        let mut stored = [0.0; LANES];
        let mut float = |name, value: L::F| {
            l.store(value, &mut stored);
            out.push((name, stored.map(bits).to_vec()));
        };
        let [va, vb, vc, vd] = [&a, &b, &c, &d].map(|v| l.load(v));
        float("load", va);
        float("splat", l.splat(a[3]));
        float("add", l.add(va, vb));
        float("sub", l.sub(va, vb));
        float("mul", l.mul(va, vb));
        float("div", l.div(va, vb));
        float("fma", l.fma(va, vb, vc));
        float("max", l.max(va, vb));
        float("abs", l.abs(va));
        float("select_gt", l.select_gt(va, vb, vc, vd));
        float("swap_pairs", l.swap_pairs(va));
        float("fold", l.splat(l.fold(va)));
        float("first", l.splat(l.first(va)));
        float("fold_max", l.splat(l.fold_max(va)));
        float("max_magnitude", l.splat(l.max_magnitude(va, vb)));
        let fractions: [f32; LANES] =
            std::array::from_fn(|i| 0.5 + (self.0 + i) as f32 / 97.0 % 3.5);
        let scaled = l.scale_pow2(l.load(&fractions), l.load(&exponents(self.0)));
        float("scale_pow2", scaled);
        for len in 0..=LANES {
            float("load_part", l.load_part(&a[..len], 3.0));
        }

        let bytes: [u8; 32] = std::array::from_fn(|i| (self.0 * 37 + i * 101 + i / 3) as u8);
        float(
            "load_f16",
            l.load_f16(&bytemuck::cast::<_, [F16; LANES]>(bytes)),
        );
        let pairs: [u8; 64] = std::array::from_fn(|i| (self.0 * 41 + i * 89 + i / 5) as u8);
        let [odd, even] = l.load_bf16(&bytemuck::cast::<_, [BF16; 2 * LANES]>(pairs));
        float("load_bf16, odd", odd);
        float("load_bf16, even", even);
        let small: [i8; LANES] = std::array::from_fn(|i| bytes[i] as i8);
        float("load_i8", l.load_i8(&small));

        let mut narrow = [F16::default(); LANES];
        l.store_f16(va, &mut narrow);
        let narrow = narrow.map(|v| bits(v.to_f32()));
        out.push(("store_f16", narrow.to_vec()));

        // 300 exceeds what i8 holds.
        let moderate = std::array::from_fn(|i| if a[i].abs() < 1e6 { a[i] } else { 300.0 });
        let whole = l.round(l.load(&moderate));
        l.store(l.to_float(whole), &mut stored);
        out.push(("round, to_float", stored.map(bits).to_vec()));
        let mut packed = [0_i8; LANES];
        l.store_i8(whole, &mut packed);
        out.push(("store_i8", packed.map(|v| v as u32).to_vec()));
        out.push(("fold_int", vec![l.fold_int(whole) as u32]));
        // Everything at its largest in the first rounds.
        let quant = |i: usize| match self.0 {
            0 => 127,
            1 => -127,
            _ => ((self.0 * 71 + i * i * 13 + i * 29) % 255) as u8 as i8,
        };
        let quant = |i: usize| quant(i).max(-127);
        let many: [[i8; 64]; 8] =
            std::array::from_fn(|i| std::array::from_fn(|j| quant(64 * i + j)));
        let few: [[i8; 32]; 3] =
            std::array::from_fn(|i| std::array::from_fn(|j| quant(700 + 32 * i + j)));
        let lowered = few.map(|few| -128 * few.into_iter().map(i32::from).sum::<i32>());
        let dots = l.dot32(&many, [&few[0], &few[1], &few[2]], lowered);
        for (row, dot) in dots.into_iter().enumerate() {
            let name = ["dot32 0", "dot32 1", "dot32 2"][row];
            l.store(l.to_float(dot), &mut stored);
            out.push((name, stored.map(bits).to_vec()));
        }
        for len in 0..=LANES {
            let mut part = [7.0; LANES];
            l.store_part(va, &mut part[..len]);
            out.push(("store_part", part.map(bits).to_vec()));
        }
        out
    }
}

#[test]
fn every_set_equals_scalar() {
    for isa in Isa::available() {
        for seed in 0..200 {
            let expected = Isa::Scalar.run(All(seed));
            for (expected, found) in expected.into_iter().zip(isa.run(All(seed))) {
                assert_eq!(expected, found, "{isa}, values {seed}");
            }
        }
    }
}

#[test]
fn scalar_means_what_it_says() {
    let l = Scalar;
    let ramp: [f32; LANES] = std::array::from_fn(|i| i as f32);
    assert_eq!(l.fold(ramp), 120.0);
    assert_eq!(l.fold_max(ramp), 15.0);
    // Large and small cancel only in the order that folds halves.
    let mut order = [0.0; LANES];
    (order[0], order[8], order[1]) = (1e30, -1e30, 1.0);
    assert_eq!(l.fold(order), 1.0);
    let nan = [f32::NAN; LANES];
    assert_eq!(l.max(nan, ramp), ramp);
    assert!(l.max(ramp, nan)[0].is_nan());
    assert_eq!(
        l.max([0.0; LANES], [-0.0; LANES])[0].to_bits(),
        (-0.0_f32).to_bits()
    );
    assert_eq!(
        l.scale_pow2([1.5; LANES], [-149.0; LANES])[0],
        f32::from_bits(2)
    );
    assert_eq!(l.scale_pow2([1.5; LANES], [128.0; LANES])[0], f32::INFINITY);
}

#[test]
fn sets_of_other_machines_are_refused() {
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        let refused = std::panic::catch_unwind(|| isa.run(All(0)));
        assert!(refused.is_err(), "{isa}");
    }
}
