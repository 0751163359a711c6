//! Tokens computed ahead where a text repeats itself change how long it takes and
//! nothing else.

use firstlight::{Error, Finish, KvFormat, Model, Request, Sampling, Session, SessionOptions};
use firstlight_tests::golden::{model, open, tokens};
use firstlight_tests::tiny::Tiny;

/// Models with windows, with experts, with states, of several formats.
const NAMES: [&str; 8] = [
    "gemma3",
    "gpt-oss",
    "q4_k",
    "bf16",
    "qwen35",
    "falcon-h1",
    "mamba2",
    "../../engine/models/firstlight-stories",
];

const MOST: usize = 15;

/// What prefers tokens that were there before, so that texts repeat themselves.
fn repeating() -> Sampling {
    Sampling {
        presence_penalty: -5.0,
        temperature: 0.3,
        seed: Some(7),
        ..Sampling::default()
    }
}

fn greedy() -> Sampling {
    Sampling {
        temperature: 0.0,
        ..Sampling::default()
    }
}

/// Of all tokens, so that the choices show the least difference of logits.
fn otherwise() -> Sampling {
    Sampling {
        temperature: 2.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        seed: Some(5),
        ..Sampling::default()
    }
}

fn samplings() -> Vec<Sampling> {
    let drawn = Sampling {
        top_k: 3,
        seed: Some(3),
        ..Sampling::default()
    };
    vec![greedy(), drawn, repeating()]
}

/// A text: its pieces, why it ended, and how many tokens were drafted and accepted.
type Text = (Vec<(Option<u32>, String)>, Option<Finish>, [usize; 2]);

/// What a new session with room for `context` tokens goes on with.
fn text(model: &Model, kv: KvFormat, context: usize, request: &Request) -> Text {
    let options = SessionOptions {
        context: Some(context),
        kv,
    };
    let mut session = model.session(&options).unwrap();
    session.feed_tokens(&tokens(20)).unwrap();
    let mut generation = session.resume(request).unwrap();
    let pieces = generation.by_ref().map(Result::unwrap);
    let pieces = pieces.map(|piece| (piece.token, piece.text)).collect();
    let stats = generation.stats();
    let counted = [stats.drafted_tokens, stats.accepted_tokens];
    (pieces, generation.finish(), counted)
}

#[test]
fn drafts_change_no_token() {
    for name in NAMES {
        let model = model(name);
        let mut all = [0; 2];
        for (sampling, kv) in samplings().into_iter().zip(KvFormat::ALL) {
            let request = |draft_tokens| Request {
                sampling: sampling.clone(),
                max_tokens: Some(400),
                draft_tokens,
                ..Request::default()
            };
            let (expected, finish, none) = text(&model, kv, 450, &request(0));
            assert_eq!(none, [0, 0]);
            for draft_tokens in [1, 4, MOST] {
                let (pieces, end, counted) = text(&model, kv, 450, &request(draft_tokens));
                assert_eq!(pieces, expected, "{name}, {kv}, {sampling:?}");
                assert_eq!(end, finish);
                assert!(counted[1] <= counted[0]);
                all = [0, 1].map(|i| all[i] + counted[i]);
            }
        }
        assert!(
            (100..all[0]).contains(&all[1]),
            "{name}: {all:?} drafted, accepted"
        );
    }
}

#[test]
fn texts_end_as_without_drafts() {
    let model = model("q4_k");
    let request = |draft_tokens| Request {
        sampling: repeating(),
        draft_tokens,
        ..Request::default()
    };
    let compare = |context, change: &dyn Fn(&mut Request)| {
        let [without, with] = [0, MOST].map(|draft_tokens| {
            let mut request = request(draft_tokens);
            change(&mut request);
            text(&model, KvFormat::F16, context, &request)
        });
        assert_eq!(without.0, with.0);
        assert_eq!(without.1, with.1);
        without.1.unwrap()
    };
    for context in 60..80 {
        assert_eq!(compare(context, &|_| {}), Finish::ContextFull);
    }
    for count in 50..70 {
        let most = |request: &mut Request| request.max_tokens = Some(count);
        assert_eq!(compare(200, &most), Finish::MaxTokens);
    }
    let (pieces, ..) = text(&model, KvFormat::F16, 100, &request(0));
    let all: String = pieces.iter().map(|(_, text)| &text[..]).collect();
    let (at, _) = all.char_indices().nth(all.chars().count() / 2).unwrap();
    let stop = |request: &mut Request| request.stop = vec![all[at..].to_owned()];
    assert_eq!(compare(200, &stop), Finish::StopString);
}

/// Ways to go on with a session whose text was left.
const WAYS: [fn(&mut Session); 3] = [
    |_| {},
    |session| {
        // More than goes through the model in one step.
        session.feed_tokens(&tokens(600)).unwrap();
        while session.advance().unwrap().is_some() {}
    },
    |session| {
        let mut others = session.tokens().to_vec();
        others.truncate(others.len() - 4);
        others.extend(tokens(2));
        session.replace_tokens(&others).unwrap();
    },
];

/// What a session writes that leaves a text after some tokens, goes on in one of these
/// ways, and then chooses tokens otherwise.
fn left_after(
    model: &Model,
    samplings: [&Sampling; 2],
    count: usize,
    way: fn(&mut Session),
    draft_tokens: usize,
) -> Vec<String> {
    let options = SessionOptions {
        context: Some(1500),
        ..SessionOptions::default()
    };
    let mut session = model.session(&options).unwrap();
    session.feed("the cat in the hat", false).unwrap();
    let mut texts = Vec::new();
    for (sampling, count) in samplings.into_iter().zip([count, 20]) {
        let request = Request {
            sampling: sampling.clone(),
            draft_tokens,
            ..Request::default()
        };
        let generation = session.resume(&request).unwrap().take(count);
        texts.extend(generation.map(|piece| piece.unwrap().text));
        way(&mut session);
    }
    texts
}

#[test]
fn a_session_goes_on_after_a_text_that_was_left() {
    for (name, sampling) in [("gemma3", greedy()), ("mamba2", repeating())] {
        let model = model(name);
        for count in 90..110 {
            for way in WAYS {
                let [without, with] = [0, MOST].map(|most| {
                    let samplings = [&sampling, &otherwise()];
                    left_after(&model, samplings, count, way, most)
                });
                assert_eq!(without, with, "{name}, after {count} tokens");
            }
        }
    }
}

/// A model that cannot go on after some thirty tokens does so after the same ones: a
/// draft reaches there earlier.
#[test]
fn what_cannot_be_computed_is_reported_where_it_comes() {
    // Queries are multiplied by more than a float can be, from some position on.
    let file = Tiny::default()
        .of_family("mistral3")
        .set("mistral3.attention.temperature_scale", f32::MAX)
        .set("mistral3.rope.scaling.original_context_length", 30_u32)
        .write();
    let model = open(file.path());
    let texts = [0, MOST].map(|draft_tokens| {
        let request = Request {
            sampling: Sampling {
                frequency_penalty: -5.0,
                ..repeating()
            },
            draft_tokens,
            ..Request::default()
        };
        let mut session = model.session(&SessionOptions::default()).unwrap();
        session.feed_tokens(&tokens(5)).unwrap();
        let mut texts = Vec::new();
        for piece in session.resume(&request).unwrap() {
            match piece {
                Ok(piece) => texts.push(piece.text),
                Err(error @ Error::NonFinite { .. }) => return (texts, error.to_string()),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("{} pieces and no error", texts.len());
    });
    assert!(texts[0].0.len() > 20, "{} pieces", texts[0].0.len());
    assert_eq!(texts[0], texts[1]);
}

#[test]
fn more_drafts_than_there_can_be_are_refused() {
    let model = model("q4_k");
    let mut session = model.session(&SessionOptions::default()).unwrap();
    session.feed_tokens(&tokens(5)).unwrap();
    let request = Request {
        draft_tokens: MOST + 1,
        ..Request::default()
    };
    let error = session.resume(&request).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the number of drafted tokens is 16, expected 0 to 15"
    );
}
