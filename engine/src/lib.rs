//! firstlight

pub mod tokenizer;
