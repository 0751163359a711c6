//! What is chosen, and what is refused.

use super::*;

const LOGITS: [f32; 5] = [0.0, 2.0, 1.0, -1.0, 1.9];

fn sampler(sampling: &Sampling) -> Result<Sampler, Error> {
    Sampler::new(sampling, Isa::detect())
}

/// The tokens that ever come out of many draws.
fn support(sampling: Sampling, history: &[u32]) -> Vec<u32> {
    let mut sampler = sampler(&Sampling {
        seed: Some(1),
        ..sampling
    })
    .unwrap();
    let mut seen: Vec<u32> = (0..2000)
        .map(|_| sampler.sample(&mut LOGITS.clone(), history))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    seen
}

/// Nothing switched on but a hot temperature.
fn open() -> Sampling {
    Sampling {
        temperature: 1.5,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        ..Sampling::default()
    }
}

#[test]
fn each_step_keeps_what_it_should() {
    let cases: [(&str, Sampling, &[u32]); 8] = [
        ("everything", open(), &[0, 1, 2, 3, 4]),
        ("greedy", Sampling::greedy(), &[1]),
        ("top-k 1", Sampling { top_k: 1, ..open() }, &[1]),
        ("top-k 3", Sampling { top_k: 3, ..open() }, &[1, 2, 4]),
        // p = 0.06, 0.41, 0.15, 0.02, 0.37
        (
            "top-p 0.5",
            Sampling {
                top_p: 0.5,
                ..open()
            },
            &[1, 4],
        ),
        (
            "top-p tiny",
            Sampling {
                top_p: 1e-6,
                ..open()
            },
            &[1],
        ),
        (
            "min-p 0.3",
            Sampling {
                min_p: 0.3,
                ..open()
            },
            &[1, 2, 4],
        ),
        (
            "min-p 1",
            Sampling {
                min_p: 1.0,
                ..open()
            },
            &[1],
        ),
    ];
    for (what, sampling, expected) in cases {
        assert_eq!(support(sampling, &[]), expected, "{what}");
    }
}

#[test]
fn typical_prefers_the_expected_surprise() {
    // Expected surprise is 0.06·2 + 0.15·1 + 0.02·3 + 0.37·0.1 = 0.38: token 4
    // (0.1) is nearest, then 1 (0), then 2 (1).
    assert_eq!(
        support(
            Sampling {
                typical_p: 0.3,
                ..open()
            },
            &[]
        ),
        [4]
    );
    assert_eq!(
        support(
            Sampling {
                typical_p: 0.5,
                ..open()
            },
            &[]
        ),
        [1, 4]
    );
}

#[test]
fn penalties_count_within_the_window() {
    let greedy_after = |sampling: Sampling, history: &[u32]| {
        sampler(&Sampling {
            temperature: 0.0,
            ..sampling
        })
        .unwrap()
        .sample(&mut LOGITS.clone(), history)
    };
    assert_eq!(
        greedy_after(
            Sampling {
                repeat_penalty: 1.2,
                ..open()
            },
            &[1]
        ),
        4
    );
    assert_eq!(
        greedy_after(
            Sampling {
                repeat_penalty: 3.0,
                ..open()
            },
            &[1, 4]
        ),
        2
    );
    assert_eq!(
        greedy_after(
            Sampling {
                presence_penalty: 0.2,
                ..open()
            },
            &[1, 1]
        ),
        4
    );
    assert_eq!(
        greedy_after(
            Sampling {
                frequency_penalty: 0.06,
                ..open()
            },
            &[1]
        ),
        1
    );
    assert_eq!(
        greedy_after(
            Sampling {
                frequency_penalty: 0.06,
                ..open()
            },
            &[1, 1]
        ),
        4
    );
    let short = Sampling {
        presence_penalty: 5.0,
        penalty_window: 1,
        ..open()
    };
    assert_eq!(greedy_after(short, &[1, 4]), 1);
    // A negative logit is made more negative.
    let mut logits = [-1.0, -1.1];
    let sampling = Sampling {
        repeat_penalty: 2.0,
        ..Sampling::greedy()
    };
    assert_eq!(sampler(&sampling).unwrap().sample(&mut logits, &[0]), 1);
}

#[test]
fn draws_follow_the_probabilities() {
    let mut sampler = sampler(&Sampling {
        temperature: 1.0,
        seed: Some(7),
        ..open()
    })
    .unwrap();
    let mut counts = [0_u32; 5];
    for _ in 0..20_000 {
        counts[sampler.sample(&mut LOGITS.clone(), &[]) as usize] += 1;
    }
    let sum: f64 = LOGITS.iter().map(|&l| f64::from(l).exp()).sum();
    for (count, logit) in counts.iter().zip(LOGITS) {
        let expected = f64::from(logit).exp() / sum;
        let found = f64::from(*count) / 20_000.0;
        assert!(
            (found - expected).abs() < 0.012,
            "expected {expected}, found {found}"
        );
    }
}

#[test]
fn a_seed_repeats_and_no_seed_does_not() {
    let draws = |seed| {
        let mut sampler = sampler(&Sampling { seed, ..open() }).unwrap();
        (0..50)
            .map(|_| sampler.sample(&mut LOGITS.clone(), &[]))
            .collect::<Vec<_>>()
    };
    assert_eq!(draws(Some(3)), draws(Some(3)));
    assert_ne!(draws(Some(3)), draws(Some(4)));
    assert_ne!(draws(None), draws(None));
}

#[test]
fn extreme_parameters_choose_some_token() {
    type Change = fn(&mut Sampling);
    let extremes: &[(&str, Change)] = &[
        ("repeat penalty tiny", |s| s.repeat_penalty = 1e-38),
        ("repeat penalty huge", |s| s.repeat_penalty = f32::MAX),
        ("frequency penalty huge", |s| s.frequency_penalty = f32::MAX),
        ("frequency penalty very negative", |s| {
            s.frequency_penalty = f32::MIN;
        }),
        ("all of them", |s| {
            s.repeat_penalty = 1e-38;
            s.frequency_penalty = f32::MAX;
            s.presence_penalty = f32::MAX;
        }),
        ("temperature subnormal", |s| s.temperature = 1e-45),
        ("temperature huge", |s| s.temperature = f32::MAX),
    ];
    for (what, change) in extremes {
        let mut sampling = Sampling {
            min_p: 0.05,
            typical_p: 0.9,
            top_p: 0.9,
            ..open()
        };
        change(&mut sampling);
        let tokens = support(sampling, &[1, 1, 1, 4]);
        assert!(!tokens.is_empty(), "{what}");
        assert!(tokens.iter().all(|&token| token < 5), "{what}: {tokens:?}");
    }
}

#[test]
fn the_deciding_logits_give_the_same_tokens_as_all() {
    let logits: Vec<f32> = (0..1000).map(|i| ((i * 37) % 101) as f32 / 10.0).collect();
    let mut sorted: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let seeded = |sampling| Sampling {
        seed: Some(7),
        ..sampling
    };
    for (sampling, deciding) in [
        (Sampling::greedy(), Some(1)),
        (Sampling::default(), Some(40)),
        (
            Sampling {
                top_k: 256,
                typical_p: 0.7,
                ..open()
            },
            Some(256),
        ),
        (
            Sampling {
                top_k: 257,
                ..open()
            },
            None,
        ),
        (open(), None),
        (
            Sampling {
                repeat_penalty: 1.1,
                ..Sampling::greedy()
            },
            None,
        ),
    ] {
        let sampling = seeded(sampling);
        let (mut all, mut few) = (sampler(&sampling).unwrap(), sampler(&sampling).unwrap());
        assert_eq!(few.deciding(), deciding, "{sampling:?}");
        let Some(count) = deciding else { continue };
        // In no order.
        let highest: Vec<_> = sorted[..count].iter().rev().copied().collect();
        for draw in 0..100 {
            let expected = all.sample(&mut logits.clone(), &[]);
            assert_eq!(few.choose(&highest), expected, "draw {draw}, {sampling:?}");
        }
    }
}

#[test]
fn senseless_parameters_are_refused() {
    let bad = [
        (
            Sampling {
                temperature: -1.0,
                ..open()
            },
            "the temperature is -1, expected a finite number from 0 up",
        ),
        (
            Sampling {
                temperature: f32::NAN,
                ..open()
            },
            "the temperature is NaN, expected a finite number from 0 up",
        ),
        (
            Sampling {
                top_p: 0.0,
                ..open()
            },
            "top-p is 0, expected above 0 and at most 1",
        ),
        (
            Sampling {
                top_p: 2.0,
                ..open()
            },
            "top-p is 2, expected above 0 and at most 1",
        ),
        (
            Sampling {
                min_p: 1.5,
                ..open()
            },
            "min-p is 1.5, expected 0 to 1",
        ),
        (
            Sampling {
                typical_p: f32::NAN,
                ..open()
            },
            "typical-p is NaN, expected above 0 and at most 1",
        ),
        (
            Sampling {
                repeat_penalty: 0.0,
                ..open()
            },
            "the repeat penalty is 0, expected a finite number above 0",
        ),
        (
            Sampling {
                presence_penalty: f32::INFINITY,
                ..open()
            },
            "the presence penalty is inf, expected a finite number",
        ),
    ];
    for (sampling, message) in bad {
        assert_eq!(sampler(&sampling).err().unwrap().to_string(), message);
    }
}

#[test]
fn some_are_never_chosen() {
    let greedy = Sampling {
        temperature: 0.0,
        ..open()
    };
    let top_2 = Sampling { top_k: 2, ..open() };
    let highest = [(1, 2.0), (4, 1.9), (2, 1.0), (0, 0.0)];
    for (sampling, count, expected) in [(greedy, 3, vec![2]), (top_2, 4, vec![0, 2])] {
        let new = || sampler(&sampling).unwrap().without(&[1, 4]);
        assert_eq!(new().deciding(), Some(count));
        let mut seen = Vec::new();
        for _ in 0..100 {
            let mut sampler = new();
            seen.push(sampler.sample(&mut LOGITS.clone(), &[]));
            seen.push(sampler.choose(&highest[..count]));
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, expected);
    }
    // Where nothing is left, something has to be.
    let all = sampler(&open()).unwrap().without(&[0, 1, 2, 3, 4]);
    assert!({ all }.sample(&mut LOGITS.clone(), &[]) < 5);
}
