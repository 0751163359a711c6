//! What the writer writes the reader accepts; what is broken in any way it refuses.

use std::collections::BTreeMap;
use std::ops::Range;

use super::words::{ANIMALS_HE, ANIMALS_SHE, BOYS, GIRLS, TABLES};
use super::{Complaint, check, generate};

/// The sentences of a story, as byte ranges; what lies between is white space.
fn sentences(story: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, c) in story.char_indices() {
        let end = at + 1 + usize::from(story[at + 1..].starts_with('"'));
        if matches!(c, '.' | '!' | '?')
            && story[end..].chars().next().is_none_or(char::is_whitespace)
        {
            found.push(start..end);
            start = end + story[end..].len() - story[end..].trim_start().len();
        }
    }
    found
}

/// Where `word` stands as a whole word.
fn occurrences(story: &str, word: &str) -> Vec<Range<usize>> {
    let letter = |c: char| c.is_alphabetic();
    story
        .match_indices(word)
        .map(|(at, _)| at..at + word.len())
        .filter(|here| {
            !story[..here.start].ends_with(letter) && !story[here.end..].starts_with(letter)
        })
        .collect()
}

/// A story with the text in each range replaced, given back to front.
fn replaced(story: &str, changes: &[(Range<usize>, &str)]) -> String {
    let mut text = story.to_owned();
    for (range, new) in changes {
        text.replace_range(range.clone(), new);
    }
    text
}

/// Breaks the stories of some seeds in every way `mutants` knows, and wants each refused.
#[track_caller]
fn check_all_refused(seeds: Range<u64>, mutants: impl Fn(&str) -> Vec<String>) {
    let mut tried = 0;
    for seed in seeds {
        let story = generate(seed);
        for mutant in mutants(&story) {
            tried += 1;
            assert_ne!(mutant, story);
            assert!(
                check(&mutant).is_err(),
                "of seed {seed}, this passes:\n{mutant}"
            );
        }
    }
    assert!(tried > 500, "only {tried} broken stories were tried");
}

#[test]
fn every_generated_story_passes() {
    for seed in 0..10_000 {
        let story = generate(seed);
        assert_eq!(check(&story), Ok(()), "seed {seed}:\n{story}");
        let words = story.split_whitespace().count();
        assert!(
            (80..=180).contains(&words),
            "seed {seed} has {words} words:\n{story}"
        );
        assert_eq!(story.split("\n\n").count(), 3, "seed {seed}:\n{story}");
        assert!(
            story.ends_with(['.', '"']) && story.is_ascii(),
            "seed {seed}:\n{story}"
        );
        assert!(
            !story.contains(['<', '>', '{', '}']),
            "seed {seed}:\n{story}"
        );
        assert!(!story.contains("  "), "seed {seed}:\n{story}");
    }
}

#[test]
fn a_seed_gives_the_same_story_everywhere() {
    assert_eq!(
        generate(4),
        "One day, a little girl named Ella woke up with a smile. Everyone liked Ella, because she \
         was so friendly. Her best friend was Ben, and they did everything together.\n\n\
         After breakfast, both of them wanted to play with the green wagon. \"Give it to me!\" \
         cried Ella. \"No, it is my turn!\" cried Ben. Ella pulled on one side and Ben pulled on \
         the other, and the wagon lost a wheel. Ben ran away in tears, and Ella walked home \
         without a word.\n\n\
         Ella felt bad all evening. The next day, she knocked on Ben's door. \"I am sorry,\" she \
         said. \"You matter more to me than a wagon.\" \"I am sorry, too,\" said Ben. Together \
         they hammered the wheel back on. First Ben played with the wagon, and then it was Ella's \
         turn. Sharing was much more fun than fighting."
    );
}

#[test]
fn stories_open_with_once_upon_a_time_but_not_only() {
    let mut openings = BTreeMap::new();
    for seed in 0..2000 {
        let story = generate(seed);
        let opening = story.split(',').next().unwrap_or_default().to_owned();
        *openings.entry(opening).or_insert(0) += 1;
    }
    let share = |opening: &str| openings.get(opening).copied().unwrap_or(0) as f64 / 2000.0;
    assert!(
        (0.70..0.85).contains(&share("Once upon a time")),
        "{openings:?}"
    );
    assert!(
        share("One day") > 0.1 && share("Long ago") > 0.02,
        "{openings:?}"
    );
}

/// A row that no story uses would be a word nobody learns.
#[test]
fn every_row_appears_in_some_story() {
    let stories: Vec<String> = (0..6000).map(generate).collect();
    for table in TABLES.iter().filter(|table| table.name != "begin") {
        for text in table.rows.iter().copied().flatten() {
            // The longest stretch between the slots of a template.
            let plain = text
                .split(['{', '}'])
                .step_by(2)
                .max_by_key(|part| part.len())
                .unwrap_or_default();
            assert!(
                stories.iter().any(|story| story.contains(plain)),
                "{text:?} of table {:?} is in no story",
                table.name
            );
        }
    }
    for name in [GIRLS, BOYS, ANIMALS_SHE, ANIMALS_HE].into_iter().flatten() {
        assert!(
            stories.iter().any(|story| story.contains(name)),
            "{name} is in no story"
        );
    }
}

#[test]
fn swapped_sentences_are_refused() {
    check_all_refused(0..300, |story| {
        let sentences = sentences(story);
        let mut mutants = Vec::new();
        for (i, a) in sentences.iter().enumerate() {
            // Two may be alike: asked Theo.
            let others = sentences[i + 1..]
                .iter()
                .filter(|b| story[(*b).clone()] != story[a.clone()]);
            for b in others {
                mutants.push(replaced(
                    story,
                    &[
                        (b.clone(), &story[a.clone()]),
                        (a.clone(), &story[b.clone()]),
                    ],
                ));
            }
        }
        mutants
    });
}

#[test]
fn a_missing_or_doubled_sentence_is_refused() {
    check_all_refused(0..500, |story| {
        sentences(story)
            .into_iter()
            .flat_map(|sentence| {
                let text = &story[sentence.clone()];
                [
                    replaced(story, &[(sentence.clone(), "")]).replace("  ", " "),
                    replaced(story, &[(sentence.clone(), &format!("{text} {text}"))]),
                ]
            })
            .collect()
    });
}

#[test]
fn a_story_that_breaks_off_is_unfinished() {
    for seed in 0..300 {
        let story = generate(seed);
        let sentences = sentences(&story);
        let (_, unfinished) = sentences.split_last().expect("a story has sentences");
        for sentence in unfinished {
            for end in [sentence.end, sentence.start + 1] {
                let complaint = check(&story[..end]);
                assert!(
                    matches!(complaint, Err(Complaint::Unfinished { .. })),
                    "seed {seed}, {end} bytes: {complaint:?}\n{}",
                    &story[..end]
                );
            }
        }
    }
}

#[test]
fn one_wrong_name_is_refused() {
    let groups = [GIRLS, BOYS, ANIMALS_SHE, ANIMALS_HE];
    check_all_refused(0..300, |story| {
        let mut mutants = Vec::new();
        for names in groups {
            for name in names {
                let places = occurrences(story, name);
                // Someone named once could as well be another.
                if places.len() < 2 {
                    continue;
                }
                for place in places {
                    for other in names.iter().filter(|other| *other != name) {
                        mutants.push(replaced(story, &[(place.clone(), other)]));
                    }
                }
            }
        }
        mutants
    });
}

#[test]
fn one_wrong_pronoun_is_refused() {
    let swaps = [
        ("he", "she"),
        ("she", "he"),
        ("He", "She"),
        ("She", "He"),
        ("his", "her"),
        ("His", "Her"),
        ("Her", "His"),
        ("him", "her"),
        ("himself", "herself"),
        ("herself", "himself"),
    ];
    check_all_refused(0..300, |story| {
        let mut mutants = Vec::new();
        for (right, wrong) in swaps {
            for place in occurrences(story, right) {
                mutants.push(replaced(story, &[(place, wrong)]));
            }
        }
        mutants
    });
}

#[test]
fn one_wrong_thing_is_refused() {
    let tables = ["color", "toy", "weather", "skill", "fear"];
    check_all_refused(0..600, |story| {
        let mut mutants = Vec::new();
        for table in TABLES.iter().filter(|table| tables.contains(&table.name)) {
            for row in table.rows {
                let mut places = occurrences(story, row[0]);
                // The green forest is green whatever the kite is.
                places.retain(|place| !story[place.end..].starts_with(" forest"));
                if places.len() < 2 {
                    continue;
                }
                for place in places {
                    for other in table.rows.iter().filter(|other| other[0] != row[0]) {
                        mutants.push(replaced(story, &[(place.clone(), other[0])]));
                    }
                }
            }
        }
        mutants
    });
}

/// The beginning and the trouble of one story with the end of another one, which is
/// about somebody else.
#[test]
fn the_end_of_another_story_is_refused() {
    let last_part = |story: &str| story.rfind("\n\n").expect("a story has three parts");
    check_all_refused(0..800, |story| {
        let other = generate(story.len() as u64 * 7919);
        let end = &other[last_part(&other)..];
        let about_somebody_else = [GIRLS, BOYS, ANIMALS_SHE, ANIMALS_HE]
            .into_iter()
            .flatten()
            .any(|name| end.contains(name) && !story.contains(name));
        match about_somebody_else {
            true => vec![format!("{}{end}", &story[..last_part(story)])],
            false => Vec::new(),
        }
    });
}

#[track_caller]
fn check_complaint(text: &str, complaint: &str) {
    assert_eq!(
        check(text).expect_err("the text is no story").to_string(),
        complaint
    );
}

#[test]
fn complaints_say_where_and_what() {
    check_complaint(" \n", "expected a story, found no text");
    check_complaint(
        "Once upon a time, there was a little girl named Pip.",
        "sentence 1: expected \"Lily\" (hero) or \"Mia\" (hero) or \"Anna\" (hero) or \"Rosie\" (hero) \
         or 4 more, found \"Pip.\"",
    );
    check_complaint(
        "Once upon a time, there was a little girl named Lily. He",
        "sentence 2: expected \"She\" (hero), found \"He\"",
    );
    check_complaint(
        "Once upon a time, a clever little owl named Hazel",
        "the story breaks off in sentence 1: expected \" lived \"",
    );
    check_complaint(
        &format!("{} Then came a bear.", generate(4)),
        "expected the end after sentence 18, found \" Then came a bear.\"",
    );
    check_complaint(
        &generate(4).replace("Ella pulled", "Ben pulled"),
        "sentence 9: expected \"They pulled and pulled, until the \" or \"Ella\" (hero), \
         found \"Ben pulled on one side and Ben pulled on…\"",
    );
    check_complaint(
        "One day, a little fox named Schön",
        "sentence 1: expected \"Daisy\" (hero) or \"Hazel\" (hero) or \"Tilly\" (hero) or \"Poppy\" (hero) \
         or 8 more, found \"Schön\"",
    );
}

#[test]
fn white_space_around_a_story_is_ignored() {
    assert_eq!(check(&format!(" {}\n", generate(4))), Ok(()));
}
