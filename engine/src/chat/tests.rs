use super::guard;
use super::template::{ChatError, ChatTemplate, Rendering};
use std::time::{Duration, SystemTime};

fn rendering() -> Rendering {
    Rendering {
        bos: "<s>".to_owned(),
        eos: "</s>".to_owned(),
        // 4 July 2026, 12:00 UTC
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_783_166_400),
        ..Rendering::default()
    }
}

#[track_caller]
fn render(template: &str, messages: &str) -> Result<String, String> {
    let text = ChatTemplate::parse(template).and_then(|t| t.render_json(messages, &rendering()));
    text.map_err(|error| error.to_string())
}

const HELLO: &str = r#"[{"role": "user", "content": "hi"}]"#;

#[test]
fn what_templates_use() {
    let rows = [
        (
            "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m['content'] }}{{ eos_token }}{% endfor %}",
            "<s>[user]hi</s>",
        ),
        ("{% if add_generation_prompt %}go{% endif %}", "go"),
        ("{{ strftime_now('%d %b %Y') }}", "04 Jul 2026"),
        // Blocks are trimmed on both sides, and the last end of line goes.
        ("a\n  {% if true %}\nb\n  {% endif %}\nc\n", "a\nb\nc"),
        (
            "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "01",
        ),
        (
            "{{ 'a,b'.split(',')[-1].upper() }} {{ ' x '.strip() }} {{ 'abc'[::-1] }}",
            "B x cba",
        ),
        (
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "1",
        ),
        (
            "{{ tools is none }} {{ documents is none }} {{ custom is defined }}",
            "True True False",
        ),
        ("{% generation %}x{%- endgeneration -%} y", "xy"),
        (
            "{{ messages | tojson }}",
            r#"[{"role": "user", "content": "hi"}]"#,
        ),
        (
            "{{ {'ä': [1, 2.5, none, true]} | tojson(indent=2) }}",
            "{\n  \"ä\": [\n    1,\n    2.5,\n    null,\n    true\n  ]\n}",
        ),
    ];
    for (template, expected) in rows {
        assert_eq!(
            render(template, HELLO).as_deref(),
            Ok(expected),
            "{template}"
        );
    }
}

#[test]
fn an_object_brings_more_than_messages() {
    let inputs = r#"{"messages": [], "tools": [{"z": 1, "a": 2}], "custom": "c", "add_generation_prompt": false}"#;
    let template = "{{ tools | tojson }} {{ custom }} {{ add_generation_prompt }}";
    assert_eq!(
        render(template, inputs).as_deref(),
        Ok(r#"[{"z": 1, "a": 2}] c False"#)
    );
}

#[test]
fn templates_can_be_told_something() {
    let mut template = ChatTemplate::parse("{{ think }} {{ name }} {{ tools | tojson }}").unwrap();
    template.tell("think", "false");
    template.tell("name", "Ada");
    template.tell("tools", "[1]");
    let text = template.render_json(HELLO, &rendering());
    assert_eq!(text.unwrap(), "False Ada [1]");
}

#[test]
fn errors_are_lines() {
    let rows = [
        ("{% if %}", HELLO, "the chat template cannot be read: "),
        (
            "{{ raise_exception('roles\x1b must\nalternate') }}",
            HELLO,
            r#"the chat template refuses the conversation: "roles\u{1b} must\nalternate""#,
        ),
        ("{{ nobody.name }}", HELLO, "the chat template fails: "),
        (
            "{{ bos_token.nonsense() }}",
            HELLO,
            "the chat template fails: ",
        ),
        (
            "{{ 1 }}",
            "[1]",
            "expected messages as a JSON list of objects: ",
        ),
        (
            "{{ 1 }}",
            r#"{"messages": "hi"}"#,
            "expected messages as a JSON list of objects: ",
        ),
        (
            "{{ 1 }}",
            "{",
            "expected messages as a JSON list of objects: ",
        ),
    ];
    for (template, messages, expected) in rows {
        let error = render(template, messages).unwrap_err();
        assert!(error.starts_with(expected), "{template}: {error}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}

#[test]
fn hostile_templates_end() {
    let nested = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    let rows = [
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
        "{{ '-' * 10000000000 }}",
        "{% for i in range(90000) %}{{ '-' * 100000 }}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        &nested,
    ];
    for template in rows {
        let start = std::time::Instant::now();
        assert!(render(template, HELLO).is_err(), "{template:.60}");
        assert!(start.elapsed() < Duration::from_secs(20), "{template:.60}");
    }
}

#[test]
fn marks_separate_what_was_written() {
    let text = "a\u{FDD0}</s>\u{FDD1}b\u{FDD0}<s>\u{FDD1}\u{FDD0}<s>\u{FDD1}";
    let parts: Vec<_> = guard::parts(text)
        .filter(|(part, _)| !part.is_empty())
        .collect();
    let expected = [
        ("a", false),
        ("</s>", true),
        ("b", false),
        ("<s>", true),
        ("<s>", true),
    ];
    assert_eq!(parts, expected);
}

#[test]
fn a_missing_template_is_said() {
    assert_eq!(
        ChatError::Missing.to_string(),
        "the model has no chat template"
    );
}
