//! Caches of layers that attend to a window: what no token will see is given back, and
//! nothing but memory changes by that.

use firstlight::{KvCache, KvFormat, Model, Request, Sampling, Sequence, SessionOptions, Wanted};
use firstlight_tests::golden::{model, tokens};

/// Models with windows of five positions in some layers; in the second, layers attend to
/// what others keep.
const NAMES: [&str; 3] = ["gemma3", "gemma4-e", "gpt-oss"];

const CONTEXT: usize = 1000;

/// The logits of the last token.
fn step(model: &Model, cache: &mut KvCache, tokens: &[u32]) -> Vec<u32> {
    let sequence = Sequence {
        cache,
        tokens,
        wanted: Wanted::Last,
    };
    let logits = model.step(&mut [sequence]).unwrap();
    logits.into_iter().map(f32::to_bits).collect()
}

/// Takes the cache to the end of `tokens`, of which it has the first.
fn reach(model: &Model, cache: &mut KvCache, tokens: &[u32]) -> Vec<u32> {
    let begin = cache.len();
    step(model, cache, &tokens[begin..])
}

fn fresh(model: &Model, tokens: &[u32]) -> Vec<u32> {
    let mut cache = model.cache(KvFormat::F16, CONTEXT).unwrap();
    step(model, &mut cache, tokens)
}

#[test]
fn what_no_token_sees_is_given_back() {
    for name in NAMES {
        let model = model(name);
        let config = model.config();
        let all = tokens(900);
        for kv in KvFormat::ALL {
            let [mut at_once, mut in_parts] = [(); 2].map(|()| model.cache(kv, CONTEXT).unwrap());
            let expected = step(&model, &mut at_once, &all);
            let (many, few) = all.split_at(840);
            for part in many.chunks(100).chain(few.chunks(1)) {
                let logits = step(&model, &mut in_parts, part);
                let bound = KvCache::bytes_in_memory(config, kv, 0..config.n_layer, in_parts.len());
                assert!(
                    in_parts.bytes() as u64 <= bound,
                    "{name}, {kv}, {}: {} of {bound}",
                    in_parts.len(),
                    in_parts.bytes()
                );
                if in_parts.len() == all.len() {
                    assert_eq!(logits, expected, "{name}, {kv}");
                }
            }
            // Six chunks of fifteen: what can be seen or taken back begins in the tenth.
            let whole = KvCache::bytes_on_gpu(config, kv, 0..config.n_layer, 960);
            let windowed = (0..config.n_layer).filter(|&layer| config.window_of(layer).is_some());
            let windowed: u64 = windowed
                .map(|layer| KvCache::bytes_on_gpu(config, kv, layer..layer + 1, 960))
                .sum();
            assert_eq!(
                in_parts.bytes() as u64,
                whole - windowed * 9 / 15,
                "{name}, {kv}"
            );
        }
    }
}

#[test]
fn a_cache_is_cut_where_it_has_what_is_seen() {
    for name in NAMES {
        let model = model(name);
        let all = tokens(700);
        let mut cache = model.cache(KvFormat::F16, CONTEXT).unwrap();
        for (len, left) in [(690, 690), (450, 450), (310, 310), (380, 300), (300, 300)] {
            while cache.len() < 300 {
                let end = cache.len() + 100;
                reach(&model, &mut cache, &all[..end]);
            }
            if cache.len() == 300 {
                cache.mark(300);
            }
            reach(&model, &mut cache, &all);
            assert_eq!(cache.truncate(len), left, "{name}: cut to {len}");
            let next = step(&model, &mut cache, &all[left..left + 5]);
            let expected = fresh(&model, &all[..left + 5]);
            assert_eq!(next, expected, "{name}: after a cut to {len}");
        }
        // Before the mark there is nothing to go on from, and then no mark.
        reach(&model, &mut cache, &all);
        assert_eq!(cache.truncate(200), 0, "{name}");
        assert_eq!(
            reach(&model, &mut cache, &all),
            fresh(&model, &all),
            "{name}"
        );
        assert_eq!(cache.truncate(310), 0, "{name}");
    }
}

#[test]
fn sessions_go_on_from_what_is_the_same() {
    let model = model("gemma3");
    let request = Request {
        sampling: Sampling {
            temperature: 0.0,
            ..Sampling::default()
        },
        max_tokens: Some(500),
        ..Request::default()
    };
    let options = SessionOptions {
        context: Some(2000),
        ..SessionOptions::default()
    };
    let mut session = model.session(&options).unwrap();
    let first = tokens(700);
    // The end of the first, which a template puts before an answer, is not in the second.
    let mut second = first[..690].to_vec();
    second.extend(tokens(110));
    for (tokens, computed) in [(&first, 700), (&second, 800 - 690), (&first, 700)] {
        session.replace_tokens(tokens).unwrap();
        let mut generation = session.resume(&request).unwrap();
        let text: Vec<_> = (&mut generation)
            .map(|piece| piece.unwrap().token)
            .collect();
        assert!(text.len() > 400, "too few to leave the prompt's window");
        assert_eq!(generation.stats().prompt_tokens, computed);
        let mut alone = model.session(&options).unwrap();
        alone.feed_tokens(tokens).unwrap();
        let expected = alone.resume(&request).unwrap();
        let expected: Vec<_> = expected.map(|piece| piece.unwrap().token).collect();
        assert_eq!(text, expected);
    }
}
