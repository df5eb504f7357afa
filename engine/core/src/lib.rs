//! Pure values and functions of the engine.
//!
//! Nothing in this crate does IO, reads a clock, draws a random number or knows a runtime; equal inputs give equal
//! answers, so that a test needs no server and no sleep. One value flows one way:
//! [`document`] (text to documents, layers, provenance) → [`schema`] and [`expression`] (judged and evaluated) →
//! [`plan`] (joined with [`inventory`] and [`observation`], compared by [`diff`], ordered by [`graph`]) →
//! [`progress`] (which step may run, and what an outcome means for the rest).
//!
//! Core knows no plugin by name: all it knows of a kind stands in the plugin's [`manifest`].

pub mod address;
pub mod diagnostic;
pub mod diff;
pub mod document;
pub mod expression;
pub mod graph;
pub mod inventory;
pub mod manifest;
pub mod observation;
pub mod plan;
pub mod progress;
pub mod retry;
pub mod schema;
pub mod text;
pub mod value;
