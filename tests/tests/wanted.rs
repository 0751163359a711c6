//! Which logits are wanted changes nothing but how much is computed.

use firstlight::{Isa, KvFormat, Model, ModelOptions, Wanted};
use firstlight_tests::wanted::{CASES, logits, of_all};
use std::path::Path;

#[test]
fn wanted_logits_are_those_of_all() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let models = [
        "q4_k",
        "q5_0",
        "bf16",
        "llama-experts",
        "llama-biases",
        "phi2",
        "deepseek2",
        "../../engine/models/firstlight-stories",
    ];
    for name in models {
        for isa in Isa::available() {
            let options = ModelOptions {
                threads: Some(2),
                isa: Some(isa),
                ..ModelOptions::default()
            };
            let model = Model::open(golden.join(format!("{name}.gguf")), &options).unwrap();
            let n_vocab = model.config().n_vocab;
            let bits =
                |logits: &[f32]| -> Vec<u32> { logits.iter().map(|l| l.to_bits()).collect() };
            let [all, after] = logits(&model, KvFormat::F16, [Wanted::All; 3]);
            for wanted in CASES {
                let [found, then] = logits(&model, KvFormat::F16, wanted);
                let expected = of_all(&all, n_vocab, wanted);
                assert!(
                    bits(&found) == bits(&expected),
                    "{name}, {isa}: other logits with {wanted:?}"
                );
                assert!(
                    bits(&then) == bits(&after),
                    "{name}, {isa}: other logits after {wanted:?}"
                );
            }
        }
    }
}
