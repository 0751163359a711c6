//! What `conform` does.

use super::{conform, run};
use firstlight_tests::npy;
use firstlight_tests::tiny::{Shape, TempFile, Tiny};
use gguf::TensorType;
use serde_json::Value;

#[test]
fn inspect_shows_what_cannot_be_run() {
    let odd = Tiny::new(&Shape::of_format(TensorType::Q4_K))
        .set("general.architecture", "grok")
        .edit("output.weight", |tensor| {
            let (ty, len) = (
                TensorType::NVFP4,
                tensor.dims.iter().product::<u64>() as usize,
            );
            tensor.ty = ty;
            tensor.data = vec![0; len / ty.block_len() * ty.block_bytes()];
        });
    let file = odd.write();
    let table = run(conform("inspect").arg("--model").arg(file.path())).text();
    assert!(
        table.contains("\"general.architecture\" = \"grok\""),
        "{table}"
    );
    let line = table
        .lines()
        .find(|line| line.ends_with("\"output.weight\""))
        .unwrap();
    assert!(
        line.starts_with("NVFP4") && line.contains("256 x 294"),
        "{line}"
    );
    let json = run(conform("inspect")
        .arg("--json")
        .arg("--model")
        .arg(file.path()))
    .text();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["metadata"]["general.architecture"], "grok");
    let tensors = json["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), odd.tensors().len());
    let last = tensors.last().unwrap();
    assert_eq!(
        (&last["name"], &last["type"]),
        (&"output.weight".into(), &"NVFP4".into())
    );
}

#[test]
fn a_vocabulary_alone_is_enough_for_text() {
    let file = Tiny::default().without_tensors().write();
    let table = run(conform("inspect").arg("--model").arg(file.path())).text();
    assert!(table.contains(", 0 tensors, "), "{table}");
    let tokenize = |text: &str, more: &[&str]| {
        let text = TempFile::new("text.txt", text.as_bytes());
        let output = run(conform("tokenize")
            .arg("--model")
            .arg(file.path())
            .arg("--text-file")
            .arg(text.path())
            .args(more));
        output.text()
    };
    // ▁ is 259, a 260, the merged ones follow z.
    assert_eq!(tokenize("the hen", &[]), "[292,259,288,273]\n");
    assert_eq!(
        tokenize("the hen", &["--add-special"]),
        "[1,292,259,288,273]\n"
    );
    assert_eq!(tokenize("", &[]), "[]\n");
    assert_eq!(tokenize("</s>", &["--parse-special"]), "[2]\n");
    assert_ne!(tokenize("</s>", &[]), "[2]\n");
    let detokenize = |tokens: &str| {
        run(conform("detokenize")
            .arg("--model")
            .arg(file.path())
            .args(["--tokens", tokens]))
    };
    assert_eq!(detokenize("1,292,259,288,273").text(), "the hen\n");
    assert_eq!(
        detokenize("1,294").error(),
        "token 294 is not in the vocabulary of 294"
    );
}

#[test]
fn logits_are_written_as_an_array() {
    let model = Tiny::default().write();
    let out = TempFile::new("logits.npy", b"");
    let logits = |tokens: &str, more: &[&str]| {
        run(conform("logits")
            .args(["--threads", "1", "--model"])
            .arg(model.path())
            .args(["--tokens", tokens, "--out"])
            .arg(out.path())
            .args(more))
    };
    assert_eq!(logits("1,292,259", &[]).text(), "");
    let whole = npy::parse(&std::fs::read(out.path()).unwrap());
    assert_eq!((whole.cols, whole.values.len()), (294, 3 * 294));
    logits("1,292,259", &["--chunk", "1"]).text();
    let one_by_one = npy::parse(&std::fs::read(out.path()).unwrap());
    assert!(whole.values == one_by_one.values);
    assert_eq!(
        logits("1,294", &[]).error(),
        "token 294 is not in the vocabulary of 294"
    );
    let message = logits("1", &["--chunk", "0"]).error();
    assert_eq!(message, "a chunk is 0 tokens, expected at least 1");
    let nowhere = run(conform("logits").arg("--model").arg(model.path()).args([
        "--tokens",
        "1",
        "--out",
        "/no/such/folder/a.npy",
    ]));
    let message = nowhere.error();
    assert!(
        message.starts_with("/no/such/folder/a.npy: cannot be written: "),
        "{message}"
    );
}

#[test]
fn perplexity_of_random_weights() {
    let model = Tiny::default().write();
    let text = TempFile::new("text.txt", "the hen in a then ".repeat(40).as_bytes());
    let perplexity = |context: &str| {
        run(conform("perplexity")
            .args(["--threads", "1", "--model"])
            .arg(model.path())
            .arg("--file")
            .arg(text.path())
            .args(["--context", context]))
    };
    let output = perplexity("64").text();
    let words: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(
        (words[0], words[2], words[4]),
        ("perplexity", "±", "over"),
        "{output}"
    );
    let value: f64 = words[1].parse().unwrap();
    assert!(value.is_finite() && value > 1.0, "{output}");
    assert_eq!(
        perplexity("3").error(),
        "a piece of 3 tokens is too short, expected at least 4"
    );
    let message = perplexity("100000").error();
    assert!(
        message.starts_with("the text has ")
            && message.ends_with(" tokens, expected at least 99999"),
        "{message}"
    );
}

#[test]
fn kernels_agree_with_their_definitions() {
    let output = run(&mut conform("kernels")).text();
    assert!(
        output.lines().any(|line| line.starts_with("ok ")),
        "{output}"
    );
    assert!(
        output.contains("instruction sets of this machine: "),
        "{output}"
    );
}
