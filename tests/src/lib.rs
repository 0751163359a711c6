//! Conformance tests of the whole engine, and the story grammar that judges the
//! bundled model.

pub mod story;
