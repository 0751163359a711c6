//! Caches on the GPU that forget: cut to a mark or to nothing, and gone on from.

use super::{bound, open, tokens};
use firstlight::{DeviceChoice, GpuLayers, KvCache, KvFormat, Model, Sequence, Wanted};
use firstlight_tests::nmse;
use std::ops::Range;

/// Layers with states, in every split: cut to a mark, to nothing, and gone on from.
#[test]
fn states_are_cut_as_on_the_cpu() {
    let tokens = tokens();
    let names = ["qwen35", "nemotron_h"].into_iter();
    for (name, layers) in names.flat_map(|name| [1, 2, 3, 5].map(|layers| (name, layers))) {
        let layers = GpuLayers::First(layers);
        let Some(gpu) = open(name, DeviceChoice::Gpu, layers) else {
            return;
        };
        let cpu = open(name, DeviceChoice::Cpu, layers).unwrap();
        let [mut expected, mut found] = [&cpu, &gpu].map(|model| {
            let mut cache = model.cache(KvFormat::F16, 100).unwrap();
            let mut logits = Vec::new();
            let mut step = |cache: &mut KvCache, range: Range<usize>| {
                let sequence = Sequence {
                    cache,
                    tokens: &tokens[range],
                    wanted: Wanted::All,
                };
                logits.push(model.step(&mut [sequence]).unwrap());
            };
            step(&mut cache, 0..10);
            cache.mark(10);
            step(&mut cache, 10..18);
            step(&mut cache, 18..19);
            assert_eq!(cache.truncate(12), 10);
            step(&mut cache, 10..15);
            assert_eq!(cache.truncate(10), 10);
            step(&mut cache, 10..11);
            assert_eq!(cache.truncate(3), 0);
            step(&mut cache, 0..7);
            assert_eq!(cache.truncate(6), 0);
            logits
        });
        for (step, (found, expected)) in found.drain(..).zip(expected.drain(..)).enumerate() {
            let error = nmse(&found, &expected);
            let bound = bound(&gpu, KvFormat::F16, 10);
            assert!(error <= bound, "{name}, {layers:?}, step {step}: {error:e}");
        }
    }
}

/// What a test does with a cache.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Takes tokens up to this position through the model, so many at a time.
    Reach(usize, usize),
    Mark(usize),
    /// Cuts to the first, and finds the second left.
    Cut(usize, usize),
}

/// Layers that attend to windows of 5, whose caches have room for 1034 positions: what
/// leaves them is left behind, and can still be cut to.
#[test]
fn windows_are_left_behind() {
    use Act::*;
    let acts = [
        Reach(600, 100),
        Reach(710, 110),
        Mark(700),
        Reach(1010, 100),
        Reach(1040, 1),
        // Some tokens back, and to the mark, of which the positions are kept.
        Cut(1030, 1030),
        Reach(1150, 3),
        Cut(705, 700),
        Reach(1500, 400),
        // A mark that has been left behind twice, and before anything was.
        Reach(2600, 300),
        Cut(1400, 700),
        Reach(760, 60),
        Mark(704),
        Cut(730, 730),
        Reach(1900, 650),
        Cut(721, 704),
        Reach(800, 80),
        // Before the mark there is nothing to go on from.
        Reach(2000, 1200),
        Cut(600, 0),
        Reach(1300, 1300),
    ];
    for (name, kv, layers) in [
        ("gemma3", KvFormat::F16, GpuLayers::First(2)),
        ("gemma4-e", KvFormat::F16, GpuLayers::Auto),
        ("gpt-oss", KvFormat::Q8_0, GpuLayers::Auto),
    ] {
        let Some(gpu) = open(name, DeviceChoice::Gpu, layers) else {
            return;
        };
        gpu.wait_for_gpu().unwrap();
        let cpu = open(name, DeviceChoice::Cpu, layers).unwrap();
        let mut caches = [&cpu, &gpu].map(|model| model.cache(kv, 3000).unwrap());
        for act in acts {
            let [on_cpu, on_gpu] = &mut caches;
            let expected = act.on(&cpu, on_cpu);
            let found = act.on(&gpu, on_gpu);
            if !expected.is_empty() {
                let error = nmse(&found, &expected);
                let bound = bound(&gpu, kv, 1300);
                assert!(error <= bound, "{name}, {kv}, {act:?}: {error:e}");
            }
        }
    }
}

impl Act {
    /// Returns the logits of the last token of every step.
    fn on(self, model: &Model, cache: &mut KvCache) -> Vec<f32> {
        let mut logits = Vec::new();
        match self {
            Act::Mark(len) => cache.mark(len),
            Act::Cut(len, left) => assert_eq!(cache.truncate(len), left, "{self:?}"),
            Act::Reach(end, chunk) => {
                while cache.len() < end {
                    let positions = cache.len()..end.min(cache.len() + chunk);
                    let tokens: Vec<u32> = positions.map(|i| 3 + i as u32 * 7 % 60).collect();
                    let sequence = Sequence {
                        cache,
                        tokens: &tokens,
                        wanted: Wanted::Last,
                    };
                    logits.extend(model.step(&mut [sequence]).unwrap());
                }
            }
        }
        logits
    }
}
