//! What people need who write plugins.

pub mod wrap;
