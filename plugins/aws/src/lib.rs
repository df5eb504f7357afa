//! The provider of Amazon Web Services.
//!
//! What a service says of itself (operations, shapes, names on the wire) is data, in `models/`; the few protocols that all of them
//! speak are code. [`model`] reads the data, [`protocol`] makes requests of values and values of answers, [`endpoint`] knows where a
//! service listens. None of the three sends, signs, waits or logs.

pub mod endpoint;
pub mod model;
pub mod protocol;
