//! One line that says what the first token is waiting for, on a terminal only.

use firstlight::Model;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Nobody needs to be told about a shorter wait.
const PATIENCE: Duration = Duration::from_millis(300);

const REDRAW: Duration = Duration::from_millis(100);

/// Shows the line until it is dropped.
pub struct Waiting {
    /// Prompt tokens that have been computed.
    done: Arc<AtomicUsize>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Begins to watch a model that is to compute `tokens` prompt tokens.
    pub fn new(model: &Model, tokens: usize) -> Waiting {
        let done = Arc::new(AtomicUsize::new(0));
        if !std::io::stderr().is_terminal() {
            return Waiting {
                done,
                stop: None,
                thread: None,
            };
        }
        let (stop, stopped) = channel::<()>();
        let (model, counter) = (model.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            if stopped.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            // What does not fit a narrow terminal is cut off.
            let style = ProgressStyle::with_template("{bar:12} {wide_msg}")
                .expect("the template is well-formed");
            let bar = ProgressBar::new(0).with_style(style);
            loop {
                let progress = model.load_progress();
                if progress.is_complete() {
                    bar.set_length(tokens as u64);
                    bar.set_position(counter.load(Relaxed) as u64);
                    bar.set_message(format!(
                        "reading the prompt, {}/{tokens} tokens",
                        counter.load(Relaxed)
                    ));
                } else {
                    bar.set_length(progress.total_bytes);
                    bar.set_position(progress.bytes);
                    let left = progress.left.map_or(String::new(), |left| {
                        format!(", {} s left", left.as_secs() + 1)
                    });
                    bar.set_message(format!(
                        "loading, {} of {}, layer {} of {}{left}",
                        HumanBytes(progress.bytes),
                        HumanBytes(progress.total_bytes),
                        progress.stages,
                        progress.total_stages
                    ));
                }
                if stopped.recv_timeout(REDRAW) != Err(RecvTimeoutError::Timeout) {
                    bar.finish_and_clear();
                    return;
                }
            }
        });
        Waiting {
            done,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// So many prompt tokens have been computed.
    pub fn done(&self, tokens: usize) {
        self.done.store(tokens, Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The line must be gone before text comes.
            let _ = thread.join();
        }
    }
}
