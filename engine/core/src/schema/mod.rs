//! Judges documents by their kind's JSON Schema.

pub mod suggest;

/// A compiled schema, made on first use and shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct Validator;
