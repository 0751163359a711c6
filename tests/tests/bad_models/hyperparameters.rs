//! Hyperparameters that make no sense.

use super::{open, refused, refused_values, shaped};
use firstlight::{KvFormat, Sequence, SessionOptions, Wanted};
use firstlight_tests::tiny::Tiny;
use gguf::TensorType;
use gguf::write::OwnedValue;

/// The logits of some tokens of a model that can be run.
fn logits(model: &Tiny) -> Vec<f32> {
    let model = open(model).unwrap();
    let mut cache = model.cache(KvFormat::F32, 16).unwrap();
    let sequence = Sequence {
        cache: &mut cache,
        tokens: &[3, 4, 5, 6],
        wanted: Wanted::All,
    };
    model.step(&mut [sequence]).unwrap()
}

#[test]
fn architectures() {
    let key = "general.architecture";
    refused(
        &Tiny::default().without(key),
        "metadata key \"general.architecture\" is missing, expected a UTF-8 string",
    );
    let rows: &[(&str, &str)] = &[
        ("gpt5", "\"gpt5\""),
        ("", "\"\""),
        ("Llama", "\"Llama\""),
        ("\x1b]0;llama\x07", "\"\\u{1b}]0;llama\\u{7}\""),
    ];
    for (name, shown) in rows {
        let message = open(&Tiny::default().set(key, *name)).err().unwrap();
        let expected = format!("FILE: architecture {shown} is not supported, expected one of ");
        assert!(message.starts_with(&expected), "{message}");
        assert!(message.contains(" llama,"), "{message}");
    }
    let long = open(&Tiny::default().set(key, "x".repeat(1 << 20)))
        .err()
        .unwrap();
    assert!(long.len() < 1000, "{} bytes of message", long.len());
}

#[test]
fn keys_of_another_type() {
    let whole = "expected an unsigned 64-bit integer, found";
    refused_values(vec![
        (
            "block_count",
            "2".into(),
            &format!(": {whole} string \"2\""),
        ),
        (
            "embedding_length",
            32_f32.into(),
            &format!(": {whole} f32 32"),
        ),
        (
            "context_length",
            true.into(),
            &format!(": {whole} bool true"),
        ),
    ]);
    let rows: Vec<(&str, gguf::write::OwnedValue, &str)> = vec![
        (
            "general.architecture",
            7_u32.into(),
            "expected a UTF-8 string, found u32 7",
        ),
        (
            "general.architecture",
            vec!["llama"].into(),
            "expected a UTF-8 string, found ",
        ),
        (
            "general.alignment",
            "32".into(),
            "expected an unsigned 64-bit integer, found string \"32\"",
        ),
        (
            "split.count",
            "3".into(),
            "expected an unsigned 64-bit integer, found string \"3\"",
        ),
    ];
    for (key, value, expected) in rows {
        let message = open(&Tiny::default().set(key, value)).err().unwrap();
        assert!(
            message.contains(&format!("metadata key \"{key}\": {expected}"))
                || message.contains(&format!("metadata key {key}: {expected}")),
            "{message}"
        );
    }
}

#[test]
fn layers() {
    refused_values(vec![
        ("block_count", 0_u32.into(), " is 0, expected 1 to 1024"),
        (
            "block_count",
            1_000_000_000_u32.into(),
            " is 1000000000, expected 1 to 1024",
        ),
        (
            "block_count",
            u64::MAX.into(),
            " is 18446744073709551615, expected 1 to 1024",
        ),
        (
            "block_count",
            (-1_i32).into(),
            ": expected an unsigned 64-bit integer, found i32 -1",
        ),
    ]);
}

#[test]
fn heads() {
    refused_values(vec![
        (
            "attention.head_count",
            0_u32.into(),
            " is 0, expected 1 to 262144",
        ),
        (
            "attention.head_count",
            6_u32.into(),
            " is 6, expected a divisor of the width 32",
        ),
        (
            "attention.head_count_kv",
            0_u32.into(),
            " is 0, expected 1 to 4",
        ),
        (
            "attention.head_count_kv",
            3_u32.into(),
            " is 3, expected a divisor of 4 heads",
        ),
        (
            "attention.head_count_kv",
            8_u32.into(),
            " is 8, expected 1 to 4",
        ),
        (
            "attention.key_length",
            0_u32.into(),
            " is 0, expected 1 to 65536",
        ),
        (
            "attention.value_length",
            u32::MAX.into(),
            " is 4294967295, expected 1 to 65536",
        ),
        (
            "embedding_length",
            0_u32.into(),
            " is 0, expected 1 to 262144",
        ),
        (
            "feed_forward_length",
            0_u32.into(),
            " is 0, expected 1 to 262144",
        ),
        (
            "feed_forward_length",
            (1_u64 << 40).into(),
            " is 1099511627776, expected 1 to 262144",
        ),
    ]);
    refused(
        &Tiny::default().set("llama.attention.head_count", 5_u32),
        "metadata key \"llama.attention.head_count_kv\" is 2, expected a divisor of 5 heads",
    );
}

#[test]
fn values_for_each_layer() {
    let two = "expected one for each of 2 layers";
    refused_values(vec![
        (
            "attention.head_count",
            vec![4_u32].into(),
            &format!(" is an array of 1 values, {two}"),
        ),
        (
            "attention.head_count",
            vec![4_u32; 3].into(),
            &format!(" is an array of 3 values, {two}"),
        ),
        (
            "attention.head_count",
            Vec::<u32>::new().into(),
            &format!(" is an array of 0 values, {two}"),
        ),
        (
            "attention.head_count_kv",
            vec![2_u32, 4].into(),
            " is [2, 4], expected one value for all layers",
        ),
        (
            "feed_forward_length",
            vec!["48", "48"].into(),
            " is [\"48\", \"48\"], expected one value for all layers",
        ),
        (
            "feed_forward_length",
            vec![-48_i32, -48].into(),
            " is 18446744073709551615, expected 1 to 262144",
        ),
    ]);
    // The same for all layers: as if it were one value.
    assert!(open(&Tiny::default().set("llama.feed_forward_length", vec![48_u32; 2])).is_ok());
}

#[test]
fn rope() {
    refused_values(vec![
        (
            "rope.dimension_count",
            0_u32.into(),
            " is 0, expected 1 to 8",
        ),
        (
            "rope.dimension_count",
            7_u32.into(),
            " is 7, expected an even number",
        ),
        (
            "rope.dimension_count",
            10_u32.into(),
            " is 10, expected 1 to 8",
        ),
        (
            "rope.freq_base",
            0_f32.into(),
            " is 0, expected a finite number above 0",
        ),
        (
            "rope.freq_base",
            1_f32.into(),
            " is 1, expected a number above 1",
        ),
        (
            "rope.freq_base",
            (-10000_f32).into(),
            " is -10000, expected a finite number above 0",
        ),
        (
            "rope.freq_base",
            f32::NAN.into(),
            " is NaN, expected a finite number above 0",
        ),
        (
            "rope.freq_base",
            f32::INFINITY.into(),
            " is inf, expected a finite number above 0",
        ),
        (
            "rope.freq_base",
            "10000".into(),
            ": expected a floating-point number, found string \"10000\"",
        ),
        (
            "rope.scaling.type",
            "su".into(),
            " is \"su\", expected none, linear, yarn or longrope",
        ),
        (
            "rope.scaling.type",
            "\x1b[2J".into(),
            " is \"\\u{1b}[2J\", expected none, linear, yarn or longrope",
        ),
    ]);
    let linear = Tiny::default().set("llama.rope.scaling.type", "linear");
    for (factor, shown) in [
        (0.0, "0"),
        (-1.0, "-1"),
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
    ] {
        refused(
            &linear.clone().set("llama.rope.scaling.factor", factor),
            &format!(
                "metadata key \"llama.rope.scaling.factor\" is {shown}, expected a finite number above 0"
            ),
        );
    }
    // Without a type a factor stretches linearly, and 0 says nothing.
    let stretched = |factor: f32| Tiny::default().set("llama.rope.scaling.factor", factor);
    let by_4 = logits(&linear.clone().set("llama.rope.scaling.factor", 4_f32));
    assert_eq!(logits(&stretched(4.0)), by_4);
    assert_eq!(logits(&stretched(0.0)), logits(&Tiny::default()));
    assert_ne!(logits(&Tiny::default()), by_4);
    let yarn = Tiny::default()
        .set("llama.rope.scaling.type", "yarn")
        .set("llama.rope.scaling.factor", 4_f32);
    let multiplier = "llama.rope.scaling.yarn_log_multiplier";
    assert_eq!(logits(&yarn.clone().set(multiplier, 0_f32)), logits(&yarn));
    assert_ne!(logits(&yarn.clone().set(multiplier, 1_f32)), logits(&yarn));
    let rows: [(&str, OwnedValue, &str); 4] = [
        (
            "factor",
            0_f32.into(),
            "is 0, expected a finite number above 0",
        ),
        (
            "original_context_length",
            0_u32.into(),
            "is 0, expected 1 to 1073741824",
        ),
        ("yarn_ext_factor", 0.5_f32.into(), "is 0.5, expected 1"),
        (
            "yarn_beta_fast",
            f32::NAN.into(),
            "is NaN, expected a finite number above 0",
        ),
    ];
    for (name, value, expected) in rows {
        let key = format!("llama.rope.scaling.{name}");
        let message = format!("metadata key \"{key}\" {expected}");
        refused(&yarn.clone().set(&key, value), &message);
    }
    let long = Tiny::default()
        .set("llama.rope.scaling.original_context_length", 64_u32)
        .with_tensor("rope_factors_long.weight", TensorType::F32, &[3]);
    refused(
        &long,
        "tensor \"rope_factors_long.weight\" has shape [3], expected [4]",
    );
    let factors = "rope_freqs.weight";
    for len in [1, 3, 8] {
        refused(
            &Tiny::default().with_tensor(factors, TensorType::F32, &[len]),
            &format!("tensor \"{factors}\" has shape [{len}], expected [4]"),
        );
    }
    for (bad, shown) in [
        (0.0_f32, "0"),
        (-1.0, "-1"),
        (f32::NAN, "NaN"),
        (f32::NEG_INFINITY, "-inf"),
    ] {
        let model = Tiny::default()
            .with_tensor(factors, TensorType::F32, &[4])
            .edit(factors, |tensor| {
                tensor.data = [1.0, 1.0, 1.0, bad].map(f32::to_le_bytes).concat()
            });
        refused(
            &model,
            &format!("tensor \"{factors}\" holds {shown}, expected finite factors above 0"),
        );
    }
    let small = Tiny::default()
        .with_tensor(factors, TensorType::F32, &[4])
        .edit(factors, |tensor| {
            tensor.data = [0.5_f32, 1.0, 1.0, 1.0].map(f32::to_le_bytes).concat()
        });
    refused(
        &small,
        "metadata key \"llama.rope\" is rope turns by 2 radians for each position, expected up to 1.5, expected usable parameters",
    );
    refused(
        &Tiny::default().with_tensor(factors, TensorType::Q8_0, &[32]),
        "tensor \"rope_freqs.weight\" has shape [32], expected [4]",
    );
}

#[test]
fn norms() {
    let key = "attention.layer_norm_rms_epsilon";
    refused_values(vec![
        (key, 0_f32.into(), " is 0, expected a finite number above 0"),
        (
            key,
            (-1e-5_f32).into(),
            " is -0.00001, expected a finite number above 0",
        ),
        (
            key,
            f32::NAN.into(),
            " is NaN, expected a finite number above 0",
        ),
        (
            key,
            f32::INFINITY.into(),
            " is inf, expected a finite number above 0",
        ),
        // Too small for f32.
        (
            key,
            1e-60_f64.into(),
            " is 0, expected a finite number above 0",
        ),
        (
            key,
            true.into(),
            ": expected a floating-point number, found bool true",
        ),
    ]);
    refused(
        &shaped(|_| ()).without("llama.attention.layer_norm_rms_epsilon"),
        "metadata key \"llama.attention.layer_norm_rms_epsilon\" is missing, expected a floating-point number",
    );
}

#[test]
fn experts() {
    let model = || shaped(|shape| shape.experts = Some((4, 2)));
    let used = "llama.expert_used_count";
    refused(
        &model().set(used, 5_u32),
        &format!("metadata key \"{used}\" is 5, expected 1 to 4"),
    );
    refused(
        &model().set(used, 0_u32),
        &format!("metadata key \"{used}\" is 0, expected 1 to 4"),
    );
    refused(
        &model().without(used),
        &format!("metadata key \"{used}\" is missing, expected an unsigned 64-bit integer"),
    );
    refused(
        &model().set("llama.expert_count", u32::MAX),
        "metadata key \"llama.expert_count\" is 4294967295, expected 0 to 4096",
    );
    refused(
        &model().set("llama.expert_count", 8_u32),
        "tensor \"blk.0.ffn_gate_inp.weight\" has shape [32, 4], expected [32, 8]",
    );
    refused(
        &model().without("llama.expert_count"),
        "tensor \"blk.0.ffn_gate.weight\" is missing",
    );
}

#[test]
fn contexts() {
    refused_values(vec![
        (
            "context_length",
            0_u32.into(),
            " is 0, expected 1 to 1073741824",
        ),
        (
            "context_length",
            (1_u32 << 31).into(),
            " is 2147483648, expected 1 to 1073741824",
        ),
    ]);
    let model = open(&Tiny::default()).unwrap();
    let session = |context| {
        let options = SessionOptions {
            context: Some(context),
            kv: KvFormat::F32,
        };
        model.session(&options).err().unwrap().to_string()
    };
    for context in [0, 1 << 31, usize::MAX] {
        let expected = format!("the context is {context}, expected 1 to 1073741824 tokens");
        assert_eq!(session(context), expected);
    }
    // 384 bytes per token (heads of values are padded to 16): 384 GiB.
    let needed = 384_u64 << 30;
    if firstlight::machine::available_memory().is_some_and(|bytes| bytes < needed) {
        let message = session(1 << 30);
        let start =
            format!("a context of 1073741824 tokens needs {needed} bytes of cache, but only ");
        assert!(message.starts_with(&start), "{message}");
    } else {
        println!("skipped: a cache that exceeds the memory, which is larger or not known");
    }
    // Trained for more than fits: not an error, unless asked for.
    let model = open(&Tiny::default().set("llama.context_length", 1_u32 << 30)).unwrap();
    assert!(model.session(&SessionOptions::default()).is_ok());
}
