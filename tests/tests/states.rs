//! Caches of layers with a state: cut where there is one, and as before after a step
//! that failed.

use firstlight::{
    Cancel, KvCache, KvFormat, Model, Request, Sampling, Sequence, SessionOptions, Wanted,
};
use firstlight_tests::golden::{model, tokens};

/// Models of layers with states, with and without keys beside them.
const NAMES: [&str; 3] = ["qwen35", "falcon-h1", "mamba2"];

/// The logits of the last token.
fn step(model: &Model, cache: &mut KvCache, tokens: &[u32]) -> Result<Vec<u32>, firstlight::Error> {
    let sequence = Sequence {
        cache,
        tokens,
        wanted: Wanted::Last,
    };
    let logits = model.step(&mut [sequence])?;
    Ok(logits.into_iter().map(f32::to_bits).collect())
}

/// The model, whose steps are cancelled.
fn cancelled(model: &Model) -> Model {
    let cancel = Cancel::default();
    cancel.cancel();
    model.cancelled_by(cancel)
}

fn fresh(model: &Model, tokens: &[u32]) -> Vec<u32> {
    let mut cache = model.cache(KvFormat::F16, 100).unwrap();
    step(model, &mut cache, tokens).unwrap()
}

#[test]
fn a_cache_is_cut_to_its_mark_or_to_nothing() {
    for name in NAMES {
        cut_to_its_mark_or_to_nothing(&model(name));
    }
}

fn cut_to_its_mark_or_to_nothing(model: &Model) {
    let all = tokens(40);
    let mut cache = model.cache(KvFormat::F16, 100).unwrap();
    assert!(cache.has_states());
    step(model, &mut cache, &all[..10]).unwrap();
    cache.mark(10);
    for (len, left) in [(30, 22), (22, 22), (12, 10), (10, 10)] {
        let rest = &all[cache.len()..22];
        step(model, &mut cache, rest).unwrap();
        assert_eq!(cache.truncate(len), left, "cut to {len}");
        let next = step(model, &mut cache, &all[left..left + 5]).unwrap();
        assert_eq!(next, fresh(model, &all[..left + 5]), "after a cut to {len}");
        cache.truncate(10);
    }
    // Before the mark there is nothing to go on from, and then no mark.
    step(model, &mut cache, &all[10..20]).unwrap();
    assert_eq!(cache.truncate(9), 0);
    let again = step(model, &mut cache, &all[..12]).unwrap();
    assert_eq!(again, fresh(model, &all[..12]));
    assert_eq!(cache.truncate(11), 0);
}

#[test]
fn the_latest_step_is_taken_back() {
    for name in NAMES {
        latest_is_taken_back(&model(name));
    }
}

fn latest_is_taken_back(model: &Model) {
    let all = tokens(30);
    let mut cache = model.cache(KvFormat::F16, 100).unwrap();
    step(model, &mut cache, &all[..10]).unwrap();
    for len in [10, 12, 15] {
        // Others, of which only the first may stay.
        step(
            model,
            &mut cache,
            &[&all[10..len], &all[..16 - len]].concat(),
        )
        .unwrap();
        assert_eq!(cache.truncate(len), 10);
        let next = step(model, &mut cache, &all[10..20]).unwrap();
        assert_eq!(next, fresh(model, &all[..20]), "after a cut to {len}");
        assert_eq!(cache.truncate(10), 10);
    }
    // What it was before is there once, and not beside a step that has begun.
    assert_eq!(cache.truncate(9), 0);
    step(model, &mut cache, &all[..10]).unwrap();
    step(model, &mut cache, &all[10..20]).unwrap();
    step(&cancelled(model), &mut cache, &all[20..25]).unwrap_err();
    assert_eq!(cache.truncate(15), 0);
}

#[test]
fn a_step_that_is_cancelled_leaves_no_trace() {
    for name in NAMES {
        cancelled_leaves_no_trace(&model(name));
    }
}

fn cancelled_leaves_no_trace(model: &Model) {
    let all = tokens(20);
    let mut cache = model.cache(KvFormat::F16, 100).unwrap();
    step(model, &mut cache, &all[..10]).unwrap();
    assert!(
        step(&cancelled(model), &mut cache, &all[10..15])
            .unwrap_err()
            .is_cancelled()
    );
    assert_eq!(cache.len(), 10);
    let next = step(model, &mut cache, &all[10..12]).unwrap();
    assert_eq!(next, fresh(model, &all[..12]));
}

#[test]
fn sessions_go_on_from_what_is_the_same() {
    for name in NAMES {
        go_on_from_what_is_the_same(&model(name));
    }
}

fn go_on_from_what_is_the_same(model: &Model) {
    let request = Request {
        sampling: Sampling {
            temperature: 0.0,
            ..Sampling::default()
        },
        max_tokens: Some(6),
        ..Request::default()
    };
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let first = tokens(60);
    // The end of the first, which a template puts before an answer, is not in the second.
    let mut second = first[..50].to_vec();
    second.extend(tokens(30));
    // The mark of the second is after what both have in common.
    for (tokens, computed) in [(&first, 60), (&second, 80 - 44), (&first, 60)] {
        session.replace_tokens(tokens).unwrap();
        let mut generation = session.resume(&request).unwrap();
        let text: Vec<_> = (&mut generation)
            .map(|piece| piece.unwrap().token)
            .collect();
        assert_eq!(generation.stats().prompt_tokens, computed);
        let mut alone = model.session(&SessionOptions::default()).unwrap();
        alone.feed_tokens(tokens).unwrap();
        let expected = alone.resume(&request).unwrap();
        let expected: Vec<_> = expected.map(|piece| piece.unwrap().token).collect();
        assert_eq!(text, expected);
    }
}

/// What a cache takes is what was said before.
#[test]
fn states_count_in_memory() {
    for name in NAMES {
        let model = model(name);
        let config = model.config();
        let mut cache = model.cache(KvFormat::F32, 100).unwrap();
        let all = |kv, tokens| KvCache::bytes_in_memory(config, kv, 0..config.n_layer, tokens);
        let states = all(KvFormat::F32, 0);
        assert!(states > 0, "{name}");
        // Without one that is marked.
        assert_eq!(cache.bytes() as u64, states / 3 * 2, "{name}");
        step(&model, &mut cache, &tokens(10)).unwrap();
        cache.mark(10);
        assert_eq!(cache.bytes() as u64, all(KvFormat::F32, 10), "{name}");
        assert_eq!(KvCache::fits(config, KvFormat::F32, states - 1, 100), 0);
    }
}
