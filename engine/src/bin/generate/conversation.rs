//! Talking with a model that was trained for it.

use super::cli::Cli;
use super::output::Output;
use super::report::Report;
use crate::{Run, read_prompt, say};
use firstlight::chat::{Chat, ChatTemplate};
use firstlight::{Finish, Model, Printable, Session, Stats, signals, text};
use std::error::Error;
use std::io::{BufRead, IsTerminal, Write};

/// Begins and ends a message of several lines.
const FENCE: &str = "\"\"\"";

/// How messages are written, if the prompt is one.
pub fn template(cli: &Cli, model: &Model) -> Result<Option<ChatTemplate>, Box<dyn Error>> {
    let mut template = found(cli, model)?;
    for argument in &cli.template_arg {
        let (name, value) = argument
            .split_once('=')
            .ok_or_else(|| format!("template-arg is {argument:?}, expected NAME=VALUE"))?;
        if let Some(template) = &mut template {
            template.tell(name, value);
        }
    }
    Ok(template)
}

fn found(cli: &Cli, model: &Model) -> Result<Option<ChatTemplate>, Box<dyn Error>> {
    if let Some(path) = &cli.template_file {
        let template = ChatTemplate::parse(&text::read_file(path)?);
        let template = template.map_err(|error| format!("{}: {error}", Printable(path)))?;
        return Ok(Some(template));
    }
    let is_asked_for = cli.chat || cli.system.is_some() || !cli.template_arg.is_empty();
    if cli.no_template || !is_asked_for && !model.has_chat_template() {
        return Ok(None);
    }
    let advice = match model.has_chat_template() {
        true => "--no-template goes on with the prompt as it stands",
        false => "--template-file gives one",
    };
    let template = model.chat_template();
    let template =
        template.map_err(|error| format!("{}: {error}; {advice}", Printable(model.path())))?;
    Ok(Some(template))
}

/// Says the first message and writes the answer; with `--chat`, goes on with what
/// comes from stdin until it ends. Returns figures of the last answer, and why the
/// conversation ended.
pub fn hold<'a>(
    run: &'a Run<'_>,
    session: Session,
    template: ChatTemplate,
    first: Option<String>,
) -> Result<(Report<'a>, Finish), Box<dyn Error>> {
    let is_watched = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let canceller = session.canceller();
    let mut chat = Chat::new(session, template);
    if let Some(text) = &run.cli.system {
        chat.instruct(text);
    }
    if run.cli.chat && is_watched {
        say(format_args!(
            "Ctrl-D ends the conversation, Ctrl-C an answer; {FENCE} begins and ends a message of several lines."
        ));
    }
    let mut out = Output::new();
    let mut report = run.report(None, Stats::default(), None);
    let mut first = first;
    let mut is_first = true;
    loop {
        let message = match first.take() {
            Some(message) => message,
            None if run.cli.chat => match next_message(is_watched)? {
                Some(message) => message,
                None => break,
            },
            None => break,
        };
        if run.cli.verbose && !is_first {
            run.say_report(&report);
        }
        let interrupts = signals::cancel_on_interrupt(&canceller);
        match chat.say(&message) {
            Err(error) if run.cli.chat && is_watched => {
                // Something else may be said.
                say(format_args!("error: {error}"));
                continue;
            }
            said => said?,
        }
        let waiting = read_prompt(chat.session())?;
        let mut answer = chat.answer(run.request)?;
        let first_token = run.write(&mut answer, waiting, "", &mut out)?;
        drop(interrupts);
        // Loading belongs to the first answer.
        let first_token = first_token.filter(|_| is_first);
        report = run.report(answer.finish(), answer.generation().stats(), first_token);
        is_first = false;
        if report.finish == Finish::Cancelled {
            if !(run.cli.chat && is_watched) {
                return Ok((report, Finish::Cancelled));
            }
            canceller.reset();
        }
    }
    Ok((report, Finish::EndOfText))
}

/// What is said next: a line, or several between fences; `None` at the end of
/// stdin.
fn next_message(is_watched: bool) -> Result<Option<String>, Box<dyn Error>> {
    let mut stdin = std::io::stdin().lock();
    loop {
        let Some(line) = next_line(&mut stdin, is_watched, "> ")? else {
            return Ok(None);
        };
        let Some(begun) = line.strip_prefix(FENCE) else {
            if line.trim().is_empty() {
                continue;
            }
            return Ok(Some(line));
        };
        let mut message = begun.to_owned();
        while !message.ends_with(FENCE) {
            let Some(line) = next_line(&mut stdin, is_watched, "| ")? else {
                return Ok(Some(message));
            };
            message = format!("{message}\n{line}");
        }
        message.truncate(message.len() - FENCE.len());
        return Ok(Some(message));
    }
}

/// A line without its end.
fn next_line(
    stdin: &mut impl BufRead,
    is_watched: bool,
    sign: &str,
) -> Result<Option<String>, Box<dyn Error>> {
    if is_watched {
        let mut stderr = std::io::stderr();
        let _ = write!(stderr, "{sign}").and_then(|()| stderr.flush());
    }
    let line = text::read_line("stdin", stdin)?;
    if line.is_none() && is_watched {
        say("");
    }
    Ok(line)
}
