//! Files that are no models that can be run: each is refused with one line that
//! says what was expected and what was found.
//!
//! What else can be wrong with what the engine is given is tested where it is
//! noticed. The catalogue, by number:
//!
//! | | input | tests |
//! |---|---|---|
//! | 1 | empty file | gguf/tests/rejects/header.rs: empty |
//! | 2 | under 24 bytes | gguf/tests/rejects/header.rs: shorter_than_the_header |
//! | 3 | HTML, GGJT, safetensors, PyTorch | gguf/tests/rejects/header.rs: other_formats; engine/tests/cli/files.rs: foreign_files |
//! | 4 | other versions, big-endian | gguf/tests/rejects/header.rs: versions, big_endian |
//! | 5 | impossible counts | gguf/tests/rejects/header.rs: counts_above_the_limit, counts_above_what_the_file_holds |
//! | 6 | impossible lengths of keys and strings | gguf/tests/rejects/metadata.rs: names_of_impossible_length, strings_of_impossible_length |
//! | 7 | names that are no UTF-8, NUL, escape sequences | gguf/tests/rejects/metadata.rs: names_that_are_not_utf8, terminal_escapes_and_nul_stay_out_of_messages; engine/tests/cli/files.rs: names_with_control_sequences_are_never_printed_raw; engine/tests/cli/terminal.rs: neither_model_nor_prompt_control_the_terminal |
//! | 8 | duplicate keys and tensors | gguf/tests/rejects/metadata.rs: duplicate_keys; gguf/tests/rejects/tensors.rs: duplicate_tensors |
//! | 9 | unknown value types | gguf/tests/rejects/metadata.rs: unknown_value_types |
//! | 10 | deeply nested arrays | gguf/tests/rejects/metadata.rs: arrays_nested_too_deep |
//! | 11 | arrays of impossible length | gguf/tests/rejects/metadata.rs: arrays_of_impossible_length |
//! | 12 | known keys of a wrong type | gguf/tests/metadata.rs: integers_of_any_width_that_fit, floats_bools_strings, arrays; tests/tests/bad_models/hyperparameters.rs: keys_of_another_type |
//! | 13 | alignments | gguf/tests/rejects/metadata.rs: alignments |
//! | 14 | numbers of dimensions | gguf/tests/rejects/tensors.rs: dimension_counts |
//! | 15 | dimensions 0, negative, wrapping | gguf/tests/rejects/tensors.rs: dimensions_zero_or_negative, sizes_that_wrap |
//! | 16 | rows of partial blocks | gguf/tests/rejects/tensors.rs: rows_of_partial_blocks |
//! | 17 | removed and unknown tensor types | gguf/tests/rejects/tensors.rs: removed_and_unknown_tensor_types |
//! | 18 | offsets unaligned or past the end | gguf/tests/rejects/tensors.rs: unaligned_offsets, data_past_the_end |
//! | 19 | overlapping tensors | gguf/tests/rejects/tensors.rs: overlapping_tensors |
//! | 20 | cut off at every byte | gguf/tests/rejects/truncated.rs: a_good_file_truncated_at_every_byte; engine/tests/cli/files.rs: files_cut_off |
//! | 21 | shrunk, replaced, deleted while in use | engine/tests/cli/vanishing.rs: a_file_that_shrinks_ends_the_text_with_a_line, a_file_that_is_deleted_or_replaced_goes_on_being_used; tests/tests/load_faults.rs: a_file_truncated_at_any_moment, a_file_that_shrinks_at_any_moment, a_file_deleted_or_replaced_at_any_moment |
//! | 22 | read errors, directories, devices, permissions | tests/tests/load_faults.rs: a_read_error_at_any_moment; engine/tests/cli/files.rs: what_is_no_file, no_permission |
//! | 23 | parts missing, repeated, disagreeing, out of order | gguf/tests/split_files.rs: missing, repeated, mismatched, out_of_order; tests/tests/bad_models/split.rs: a_part_is_missing, a_part_is_another_file, parts_that_disagree, parts_in_the_wrong_order |
//! | 24 | architecture unknown or missing | tests/tests/bad_models/hyperparameters.rs: architectures |
//! | 25 | numbers of layers, missing tensors | tests/tests/bad_models/hyperparameters.rs: layers; tests/tests/bad_models/tensors.rs: tensors_that_are_missing, tensors_that_nobody_knows |
//! | 26 | heads | tests/tests/bad_models/hyperparameters.rs: heads, values_for_each_layer |
//! | 27 | rope | tests/tests/bad_models/hyperparameters.rs: rope |
//! | 28 | norm epsilon | tests/tests/bad_models/hyperparameters.rs: norms |
//! | 29 | experts | tests/tests/bad_models/hyperparameters.rs: experts |
//! | 30 | contexts and caches larger than memory | tests/tests/bad_models/hyperparameters.rs: contexts |
//! | 31 | shapes against metadata | tests/tests/bad_models/tensors.rs: shapes_and_types |
//! | 32 | scales that are no numbers | tests/tests/bad_models/not_finite.rs: scales_that_are_not_finite, one_damaged_block_is_noticed; engine/tests/cli/files.rs: weights_that_are_no_numbers_give_no_text |
//! | 33 | vocabularies that do not fit | tests/tests/bad_models/vocabularies.rs: vocabularies_that_do_not_fit; engine/src/tokenizer/tests/bad_inputs.rs: arrays_of_another_length_or_type |
//! | 34 | empty and duplicate tokens | engine/src/tokenizer/tests/bad_inputs.rs: empty_and_repeated_tokens_are_lived_with; tests/tests/bad_models/vocabularies.rs: vocabularies_to_be_lived_with |
//! | 35 | merges of missing tokens | engine/src/tokenizer/tests/bad_inputs.rs: merges_that_make_no_sense |
//! | 36 | byte tokens that are none | engine/src/tokenizer/tests/bad_inputs.rs: byte_tokens_that_are_none |
//! | 37 | special tokens outside, none | engine/src/tokenizer/tests/bad_inputs.rs: special_ids_outside_of_the_vocabulary, no_bos_no_eos_no_unknown |
//! | 38 | a token of a megabyte | engine/src/tokenizer/tests/bad_inputs.rs: a_token_of_a_megabyte |
//! | 39 | unknown pre-tokenizers | engine/src/tokenizer/tests/bad_inputs.rs: models_and_pre_tokenizers |
//! | 40 | endless words, no UTF-8, special tokens as text | engine/tests/cli/parameters.rs: a_prompt_of_one_very_long_word, prompts_that_are_no_text, special_tokens_in_a_prompt_are_text; engine/src/tokenizer/tests/bad_inputs.rs: long_words; engine/src/tokenizer/tests/special.rs: control_tokens_only_when_asked_for |
//! | 41 | templates without end | engine/src/chat/tests.rs: hostile_templates_end |
//! | 42 | templates that call themselves, do not parse, raise, lack variables | engine/src/chat/tests.rs: hostile_templates_end, errors_are_lines |
//! | 43 | prompts longer than the context | engine/tests/cli/parameters.rs: prompts_longer_than_the_context_are_refused_with_both_numbers |
//! | 44 | senseless parameters | engine/tests/cli/parameters.rs: numbers |
//! | 45 | closed and broken streams, interrupts | engine/tests/cli/streams.rs: streams_that_are_closed, whoever_has_read_enough_may_go, nobody_reads_messages, an_interrupt_ends_at_once_and_what_there_is_stays, an_interrupt_ends_waiting_for_weights; engine/tests/cli/terminal.rs: an_interrupt_leaves_the_terminal_as_it_was |
//! | 46 | two instances on one file | engine/tests/cli/text.rs: two_instances_share_a_file |

mod families;
mod hyperparameters;
mod latents;
mod mutations;
mod not_finite;
mod split;
mod states;
mod tensors;
mod vocabularies;

use firstlight::{KvFormat, Model, ModelOptions, Request, Sampling, SessionOptions};
use firstlight_tests::tiny::{Shape, Tiny};
use gguf::write::OwnedValue;
use std::path::Path;

fn options() -> ModelOptions {
    ModelOptions {
        threads: Some(1),
        ..ModelOptions::default()
    }
}

fn open(model: &Tiny) -> Result<Model, String> {
    let file = model.write();
    let opened = Model::open(file.path(), &options());
    opened.map_err(|error| {
        error
            .to_string()
            .replace(&*file.path().to_string_lossy(), "FILE")
    })
}

/// The text of some tokens, or the message of the error that came.
fn generate(model: &Model, prompt: &str, max_tokens: usize) -> Result<String, firstlight::Error> {
    let mut session = model.session(&SessionOptions {
        context: Some(64),
        kv: KvFormat::F16,
    })?;
    let request = Request {
        sampling: Sampling::greedy(),
        max_tokens: Some(max_tokens),
        ..Request::default()
    };
    let generation = session.generate(prompt, &request)?;
    generation.map(|piece| Ok(piece?.text)).collect()
}

/// The model is refused, with exactly this message.
#[track_caller]
fn refused(model: &Tiny, expected: &str) {
    match open(model) {
        Ok(_) => panic!("opened, expected: {expected}"),
        Err(message) => assert_eq!(message, format!("FILE: {expected}")),
    }
}

/// Each row is refused: a key of the model's family, its value, the message
/// without the key's name.
#[track_caller]
fn refused_keys<'a>(
    model: &Tiny,
    family: &str,
    rows: impl IntoIterator<Item = (&'a str, OwnedValue, &'a str)>,
) {
    for (key, value, expected) in rows {
        let key = format!("{family}.{key}");
        let model = model.clone().set(&key, value);
        refused(&model, &format!("metadata key \"{key}\"{expected}"));
    }
}

/// The same of the unchanged model.
#[track_caller]
fn refused_values(rows: Vec<(&str, OwnedValue, &str)>) {
    refused_keys(&Tiny::default(), "llama", rows);
}

/// The tiny model under the name of another family.
fn family(name: &str) -> Tiny {
    Tiny::default().of_family(name)
}

/// What is said of a tensor that the first layer lacks.
fn missing(name: &str) -> String {
    format!("tensor \"blk.0.{name}\" is missing")
}

/// The same model with what its family's metadata say of four experts, two of which a
/// token uses, behind a layer without, and of one that all tokens use.
fn with_experts(model: Tiny, family: &str) -> Tiny {
    let numbers = [
        ("expert_count", 4_u32),
        ("expert_used_count", 2),
        ("expert_feed_forward_length", 32),
        ("expert_shared_count", 1),
        ("leading_dense_block_count", 1),
    ];
    numbers.into_iter().fold(model, |model, (name, value)| {
        model.set(&format!("{family}.{name}"), value)
    })
}

fn shaped(change: impl FnOnce(&mut Shape)) -> Tiny {
    let mut shape = Shape::default();
    change(&mut shape);
    Tiny::new(&shape)
}

#[test]
fn the_unchanged_model_generates_in_every_format() {
    for format in kernels::Format::all() {
        let shape = Shape::of_format(format.info().tensor_type);
        for experts in [None, Some((4, 2))] {
            let model = open(&Tiny::new(&Shape { experts, ..shape })).unwrap();
            let text = generate(&model, "the hen", 10);
            assert!(text.is_ok(), "{}: {text:?}", format.name());
        }
    }
}

/// The table above names tests that exist.
#[test]
fn the_catalogue_is_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut numbers = Vec::new();
    for row in include_str!("main.rs").lines() {
        let Some(row) = row.strip_prefix("//! |") else {
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let Ok(number) = cells[0].parse::<usize>() else {
            continue;
        };
        numbers.push(number);
        for tests in cells[2].split("; ") {
            let (file, names) = tests.split_once(": ").unwrap();
            let source = std::fs::read_to_string(root.join(file)).unwrap();
            for name in names.split(", ") {
                let test = source.contains(&format!("\nfn {name}() {{"));
                assert!(test, "{number}: {file} has no test {name}");
            }
        }
    }
    // What is left out needs a GPU.
    let expected: Vec<usize> = (1..=46).collect();
    assert_eq!(numbers, expected);
}
