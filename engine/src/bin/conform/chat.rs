//! `conform chat`: the text that a chat template makes of messages.

use firstlight::chat::{ChatError, ChatTemplate, Rendering, TEMPLATE_KEY};
use firstlight::{Printable, text};
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

/// Where the template and the messages are.
#[derive(clap::Args)]
pub struct ChatArgs {
    /// GGUF file with the template and the tokenizer
    #[arg(long, value_name = "FILE", required_unless_present = "template_file")]
    model: Option<PathBuf>,
    /// File with the template, in place of the model's
    #[arg(long, value_name = "FILE")]
    template_file: Option<PathBuf>,
    /// JSON file: a list of messages, or an object with messages, tools and
    /// whatever else the template asks for
    #[arg(long, value_name = "FILE")]
    messages: PathBuf,
    /// End after the last message, not where the model's answer begins
    #[arg(long)]
    no_generation_prompt: bool,
}

/// Prints the text as it is, with no end of line added.
pub fn chat(args: &ChatArgs, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let (mut source, mut rendering) = (None, Rendering::default());
    if let Some(path) = &args.model {
        crate::with_metadata(path, |metadata| {
            let found = metadata.get_str(TEMPLATE_KEY);
            source = found
                .map_err(|reason| firstlight::Error::Format {
                    path: path.to_owned(),
                    reason,
                })?
                .map(str::to_owned);
            let tokenizer = crate::tokenizer_of(path, metadata)?;
            rendering = Rendering::for_tokenizer(&tokenizer);
            Ok(())
        })?;
    }
    if let Some(path) = &args.template_file {
        source = Some(text::read_file(path)?);
    }
    rendering.add_generation_prompt = !args.no_generation_prompt;
    let path = args.template_file.as_ref().or(args.model.as_ref());
    let in_template = |error: ChatError| match path {
        Some(path) => format!("{}: {error}", Printable(path)),
        None => error.to_string(),
    };
    let template = source
        .ok_or(ChatError::Missing)
        .and_then(|source| ChatTemplate::parse(&source));
    let template = template.map_err(in_template)?;
    let messages = text::read_file(&args.messages)?;
    let text = template
        .render_json(&messages, &rendering)
        .map_err(|error| match error {
            ChatError::Messages { .. } => format!("{}: {error}", Printable(&args.messages)),
            other => in_template(other),
        })?;
    out.write_all(text.as_bytes())?;
    Ok(())
}
