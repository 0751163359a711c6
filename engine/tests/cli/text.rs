//! What `generate` writes.

use super::{generate, greedy, run, run_with};
use firstlight_tests::tiny::{TempFile, Tiny};

#[test]
fn text_goes_to_stdout_and_figures_to_stderr() {
    let model = Tiny::default().write();
    let output = greedy(model.path(), "the hen", &[]);
    assert_eq!(output.status, Some(0), "{output:?}");
    assert!(
        !output.stdout.is_empty() && output.stdout.ends_with('\n'),
        "{output:?}"
    );
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert!(output.stderr.contains("prompt 5 tokens"), "{output:?}");
    // Again, and by every way that a prompt can come.
    let expected = output.stdout;
    let file = TempFile::new("prompt.txt", b"the hen");
    let same = || {
        let mut command = generate(model.path());
        command.args(["--temperature", "0", "--max-tokens", "30"]);
        command
    };
    assert_eq!(run(same().arg("the hen")).text(), expected);
    assert_eq!(run_with(&mut same(), "the hen").text(), expected);
    assert_eq!(
        run(same().arg("--prompt-file").arg(file.path())).text(),
        expected
    );
    // Neither threads nor the instruction set change it.
    assert_eq!(
        run(same().args(["--isa", "scalar", "the hen"])).text(),
        expected
    );
}

#[test]
fn stats_are_json() {
    let model = Tiny::default().write();
    let output = greedy(model.path(), "the hen", &["--stats", "json"]);
    let stats: serde_json::Value = serde_json::from_str(&output.stderr).unwrap();
    assert_eq!(stats["prompt_tokens"], 5, "{stats}");
    assert_eq!(stats["threads"], 1, "{stats}");
    let generated = stats["generated_tokens"].as_u64().unwrap();
    assert!((1..=30).contains(&generated), "{stats}");
    assert!(stats["first_token_ms"].as_f64().unwrap() > 0.0, "{stats}");
    for key in ["model", "isa", "finish"] {
        assert!(stats[key].is_string(), "{key}: {stats}");
    }
}

#[test]
fn drafts_are_counted_and_change_no_text() {
    let model = Tiny::default().write();
    // What was there before is preferred, so that the text repeats itself.
    let with = |drafts: &str| {
        let args = ["--presence-penalty", "-100", "--stats", "json"];
        let drafts = ["--draft-tokens", drafts];
        let output = greedy(
            model.path(),
            "hahahahahaha",
            &[args.as_slice(), &drafts].concat(),
        );
        let stats: serde_json::Value = serde_json::from_str(&output.stderr).unwrap();
        let counted = ["drafted_tokens", "accepted_tokens"];
        (
            output.stdout,
            counted.map(|key| stats[key].as_u64().unwrap()),
        )
    };
    let (without, none) = with("0");
    let (text, [drafted, accepted]) = with("15");
    assert_eq!((text, none), (without, [0, 0]));
    assert!((1..=drafted).contains(&accepted), "{accepted} of {drafted}");
}

#[test]
fn text_ends_before_a_stop_string() {
    let model = Tiny::default().write();
    let whole = greedy(model.path(), "the hen", &[]).text();
    let chars: Vec<char> = whole.trim_end().chars().collect();
    assert!(chars.len() > 10, "too short to be stopped: {whole:?}");
    let stop: String = chars[chars.len() / 2..][..3].iter().collect();
    let before = &whole[..whole.find(&stop).unwrap()];
    let output = greedy(
        model.path(),
        "the hen",
        &["--stop", "never", "--stop", &stop],
    );
    assert!(output.stderr.contains("stop string"), "{output:?}");
    assert_eq!(output.stdout.trim_end(), before.trim_end(), "{stop:?}");
}

#[test]
fn a_seed_makes_choices_repeatable() {
    let model = Tiny::default().write();
    let with = |seed: &str| {
        let args = [
            "--temperature",
            "2",
            "--top-p",
            "1",
            "--min-p",
            "0",
            "--max-tokens",
            "40",
        ];
        run(generate(model.path())
            .args(args)
            .args(["--seed", seed, "the"]))
        .text()
    };
    assert_eq!(with("7"), with("7"));
    assert_ne!(with("7"), with("8"));
}

#[test]
fn two_instances_share_a_file() {
    let model = Tiny::default().write();
    let texts: Vec<String> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| greedy(model.path(), "the hen", &[]).text());
        let running = [start(), start()];
        running.map(|thread| thread.join().unwrap()).to_vec()
    });
    assert_eq!(texts[0], texts[1]);
}
