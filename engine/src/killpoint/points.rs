//! The list of kill points, in a file of its own: the tests that walk it include it, so that no copy of it can be out of date.

/// Every place, in the order of names.
pub const POINTS: &[&str] = &[
    "call.after",
    "call.before",
    "record.after",
    "record.before",
    "store.intent.after",
    "store.intent.before",
    "store.outcome.after",
    "store.outcome.before",
    "store.write.after",
    "store.write.before",
];
