//! Talking with a model: `generate --chat`, prompts of models that have a chat
//! template, and `conform chat`.

use super::{conform, generate, greedy, run, run_with};
use firstlight_tests::tiny::{CHAT_TEMPLATE, TempFile, Tiny};
use std::process::Command;

fn talker() -> TempFile {
    Tiny::default().that_talks().write()
}

fn talking(model: &TempFile) -> Command {
    let mut command = generate(model.path());
    command.args(["--temperature", "0", "--max-tokens", "8"]);
    command
}

#[test]
fn a_prompt_is_a_message_where_the_model_knows_messages() {
    let model = talker();
    let same_by_hand = "user: the hen</s>assistant: ";
    let template = TempFile::new("template.jinja", CHAT_TEMPLATE.as_bytes());
    let plain = Tiny::default().write();
    let mut with_file = talking(&plain);
    with_file.arg("--template-file").arg(template.path());
    let answered = run(talking(&model).arg("the hen")).text();
    assert_eq!(run(with_file.arg("the hen")).text(), answered);
    // As the text that the template makes of it, whose `</s>` would be text here.
    let file = TempFile::new(
        "messages.json",
        br#"[{"role": "user", "content": "the hen"}]"#,
    );
    let mut chat = conform("chat");
    chat.arg("--model").arg(model.path());
    let rendered = run(chat.arg("--messages").arg(file.path())).text();
    assert_eq!(rendered, same_by_hand);

    let args = ["--no-template"];
    let continued = greedy(model.path(), "the hen", &args).text();
    assert_eq!(continued, greedy(plain.path(), "the hen", &[]).text());
    assert_ne!(continued.lines().next(), answered.lines().next());
}

#[test]
fn lines_are_said_one_after_the_other() {
    let model = talker();
    let first = run(talking(&model).arg("the hen")).text();
    let system = run(talking(&model).args(["--system", "be kind", "the hen"])).text();
    assert_ne!(first, system);
    let arg = ["--template-arg", "add_generation_prompt=false", "the hen"];
    assert_ne!(run(talking(&model).args(arg)).text(), first);
    let error = run(talking(&model).args(["--template-arg", "x", "y"])).error();
    assert_eq!(error, "template-arg is \"x\", expected NAME=VALUE");
    let output = run_with(
        talking(&model).args(["--chat", "--verbose"]),
        "the hen\n\n\"\"\"a\nhat\"\"\"\n",
    );
    assert_eq!(output.status, Some(0), "{output:?}");
    let second = output
        .stdout
        .strip_prefix(&first)
        .expect("the first answer");
    assert!(second.ends_with('\n'), "{output:?}");
    // Figures of both, the second without what the first had to wait for.
    let figures: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| line.starts_with('['))
        .collect();
    assert_eq!(figures.len(), 2, "{output:?}");
    assert!(figures[0].starts_with("[first token after "), "{output:?}");
    assert!(figures[1].starts_with("[prompt "), "{output:?}");
    // The prompt may be what is said first.
    let again = run_with(talking(&model).args(["--chat", "the hen"]), "\"\"\"a\nhat");
    assert_eq!(again.text(), output.stdout);
}

#[test]
fn what_cannot_be_talked_with_says_so() {
    let plain = Tiny::default().write();
    for args in [&["--chat"][..], &["--system", "x", "y"]] {
        let error = run(talking(&plain).args(args)).error();
        let expected = "the model has no chat template; --template-file gives one";
        assert!(error.ends_with(expected), "{error}");
    }
    let broken = Tiny::default()
        .set("tokenizer.chat_template", "{% if %}")
        .write();
    let error = run(talking(&broken).arg("x")).error();
    assert!(
        error.contains("the chat template cannot be read: "),
        "{error}"
    );
    assert!(
        error.ends_with("--no-template goes on with the prompt as it stands"),
        "{error}"
    );
    run(talking(&broken).args(["--no-template", "x"])).text();
    let wrong = Tiny::default()
        .set("tokenizer.chat_template", 7_u32)
        .write();
    let error = run(talking(&wrong).arg("x")).error();
    assert!(error.contains("tokenizer.chat_template"), "{error}");
    let output = run(talking(&plain).args(["--no-template", "--chat"]));
    assert_eq!(output.status, Some(2), "{output:?}");
}

#[test]
fn conform_chat_names_what_is_wrong() {
    let template = TempFile::new("template.jinja", b"{{ raise_exception('no') }}");
    let messages = TempFile::new("messages.json", b"[]");
    let numbers = TempFile::new("numbers.json", b"[1]");
    let chat = |messages: &TempFile| {
        let mut command = conform("chat");
        command.arg("--template-file").arg(template.path());
        command.arg("--messages").arg(messages.path());
        run(&mut command).error()
    };
    let error = chat(&messages);
    assert!(
        error.ends_with(r#"template.jinja: the chat template refuses the conversation: "no""#),
        "{error}"
    );
    let error = chat(&numbers);
    assert!(
        error.contains("numbers.json: expected messages as a JSON list"),
        "{error}"
    );
    let mut without = conform("chat");
    without.arg("--model").arg(Tiny::default().write().path());
    let output = run(without.arg("--messages").arg(messages.path()));
    assert_eq!(output.status, Some(1), "{output:?}");
}
