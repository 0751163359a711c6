//! `bench` as it is called: exit statuses, forms of output, fields of JSON.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A model of one layer.
fn model() -> String {
    let checkout = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let file = checkout.join("../tests/golden/q4_0.gguf");
    file.to_str().unwrap().to_owned()
}

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(args)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Runs `bench` on the model and parses what it prints.
fn json(args: &[&str]) -> Value {
    let model = model();
    let output = bench(&[&["--model", &model, "--output", "json"], args].concat());
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    // Progress is for terminals.
    assert_eq!(stderr(&output), "", "{args:?}");
    serde_json::from_str(stdout(&output)).unwrap()
}

#[test]
fn results_have_their_fields() {
    let list = json(&[
        "--prompt-tokens",
        "16",
        "--gen-tokens",
        "4",
        "--depth",
        "0,24",
        "--batch",
        "1,2",
        "--threads",
        "1,2",
        "--repetitions",
        "2",
    ]);
    let list = list.as_array().unwrap();
    let tests = |threads: u64| -> Vec<&str> {
        list.iter()
            .filter(|result| result["threads"] == threads)
            .map(|result| result["test"].as_str().unwrap())
            .collect()
    };
    let expected = ["pp16", "tg4", "tg4x2", "pp16@d24", "tg4@d24", "tg4x2@d24"];
    assert_eq!(tests(1), expected);
    assert_eq!(tests(2), expected);
    for result in list {
        assert_eq!(result["model"], "q4_0");
        assert_eq!(result["quant"], "q4_0");
        assert_eq!(result["device"], "cpu");
        assert_eq!(result["kv"], "f16");
        assert_eq!(result["repetitions"], 2);
        assert!(result["isa"].is_string());
        assert!(result["limits"].is_null());
        let speed = |which: &str| result["tokens_per_second"][which].as_f64().unwrap();
        assert!(0.0 < speed("min"), "{result}");
        assert!(speed("min") <= speed("median") && speed("median") <= speed("max"));
        assert!(result["gb_per_second"].as_f64().unwrap() > 0.0);
        if cfg!(target_os = "linux") {
            let rss = result["peak_rss_bytes"].as_u64().unwrap();
            let anonymous = result["peak_anonymous_bytes"].as_u64().unwrap();
            assert!(0 < anonymous && anonymous <= rss, "{result}");
            assert!(result["peak_file_backed_bytes"].is_u64());
        }
    }
}

#[test]
fn forms_and_plot() {
    let svg = std::env::temp_dir().join(format!("bench-test-{}.svg", std::process::id()));
    let model = model();
    let args = |form| {
        let svg = svg.to_str().unwrap();
        let tests = [
            "--prompt-tokens",
            "8",
            "--gen-tokens",
            "0",
            "--depth",
            "0,8",
        ];
        let more = ["--repetitions", "1", "--plot", svg, "--output", form];
        bench(&[&["--model", &model][..], &tests, &more].concat())
    };
    for (form, header) in [
        ("table", "model  quant"),
        ("csv", "model,quant,computes,threads,kv,test,tokens/s,"),
        ("md", "| model | quant | computes |"),
    ] {
        let output = args(form);
        assert!(output.status.success(), "{form}: {}", stderr(&output));
        let mut lines = stdout(&output).lines();
        let first = lines.next().unwrap();
        assert!(first.starts_with(header), "{form}: {first}");
        let results = lines.filter(|line| line.contains("pp8")).count();
        assert_eq!(results, 2, "{form}: {}", stdout(&output));
        let drawn = std::fs::read_to_string(&svg).unwrap();
        assert_eq!(drawn.matches("<circle").count(), 2);
    }
    std::fs::remove_file(svg).unwrap();
}

#[test]
fn fit_answers_in_a_sentence_and_as_json() {
    let output = bench(&["--fit", "llama-3.1-8b:q4_k_m", "--context", "8192"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let sentence = stdout(&output);
    assert_eq!(sentence.lines().count(), 1);
    assert!(
        sentence.starts_with("llama-3.1-8b in q4_k_m with a context of 8192 tokens needs 6."),
        "{sentence}"
    );
    let output = bench(&[
        "--fit",
        "smollm-135m:q8_0",
        "--kv",
        "q8_0",
        "--output",
        "json",
    ]);
    let answer: Value = serde_json::from_str(stdout(&output)).unwrap();
    let needed = &answer["needed_bytes"];
    let parts = ["weights", "cache", "buffers"].map(|part| needed[part].as_u64().unwrap());
    assert!(parts.iter().all(|&part| part > 0));
    assert_eq!(needed["total"], parts.iter().sum::<u64>());
    assert_eq!(answer["kv"], "q8_0");
}

#[test]
fn startup_counts_from_exec() {
    let list = json(&["--startup", "--repetitions", "2"]);
    let waited = &list[0];
    assert_eq!(waited["test"], "startup");
    assert_eq!(waited["cold"], false);
    assert!(waited["prompt_tokens"].as_u64().unwrap() > 20);
    for what in ["first_token_seconds", "read_file_seconds"] {
        assert!(waited[what]["median"].as_f64().unwrap() > 0.0, "{waited}");
    }
}

#[test]
fn wrong_usage_and_errors_have_their_own_status() {
    let model = model();
    let missing = "/no/such/model.gguf";
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let absent = if cfg!(target_arch = "x86_64") {
        "neon"
    } else {
        "avx2"
    };
    let rows: &[(&[&str], i32, &str)] = &[
        (&[], 2, "--model"),
        (
            &["--model", &model, "--repetitions", "0"],
            2,
            "expected 1 to 1024",
        ),
        (&["--model", &model, "--threads", "-1"], 2, "-1"),
        (
            &["--model", &model, "--depth", "x"],
            2,
            "expected 0 to 16777216",
        ),
        (&["--model", &model, "--output", "xml"], 2, "json"),
        (
            &["--model", &model, "--isa", "sse9"],
            2,
            "unknown instruction set",
        ),
        (
            &["--model", &model, "--synthetic", "smollm-135m:q4_0"],
            2,
            "cannot be used with",
        ),
        (&["--synthetic", "llama-9000b:q4_0"], 2, "llama-3.2-1b"),
        (&["--synthetic", "smollm-135m:q4_7"], 2, "q4_k_m"),
        (&["--synthetic", "smollm-135m"], 2, "expected SHAPE:QUANT"),
        (
            &["--fit", "smollm-135m:q4_0", "--context", "0"],
            2,
            "expected 1 to",
        ),
        (&["--cold", "--model", &model], 2, "--startup"),
        (&["--model", missing], 1, missing),
        (&["--model", text], 1, "Cargo.toml"),
        (&["--model", &model, "--isa", absent], 1, absent),
        (&["--startup", "--model", missing], 1, missing),
    ];
    for (args, status, says) in rows {
        let output = bench(args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(*status), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
        assert_eq!(stdout(&output), "", "{args:?}");
        if *status == 1 {
            assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        }
    }
}

#[test]
fn help_is_short_and_has_an_example() {
    let output = bench(&["--help"]);
    assert!(output.status.success());
    let help = stdout(&output);
    assert!(
        help.contains("Examples:") && help.lines().count() < 60,
        "{help}"
    );
}
