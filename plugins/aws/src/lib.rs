//! The provider of Amazon Web Services, and of whatever speaks as they do.
//!
//! What a service says of itself (operations, shapes, names on the wire) is data, in `models/`; the few protocols that all of them
//! speak are code: [`model`] reads the data, [`protocol`] makes requests of values and values of answers, [`endpoint`] knows where a
//! service listens. What a kind is, is data too, in `kinds/`: [`kind`] reads it, [`field`] and [`policy`] turn values of documents into
//! values of the API and back, [`program`] says which calls a change takes. [`client`], [`observe`], [`sweep`], [`apply`] and [`wait`]
//! carry questions and changes out, and [`provider`] says what the engine's calls mean.

pub mod apply;
pub mod client;
pub mod config;
pub mod endpoint;
pub mod field;
pub mod kind;
pub mod manifest;
pub mod model;
pub mod object;
pub mod observe;
pub mod path;
pub mod policy;
pub mod program;
pub mod protocol;
pub mod provider;
pub mod refine;
pub mod render;
pub mod sweep;
pub mod tags;
pub mod template;
pub mod wait;

use provider::Aws;
use trueup_sdk::export;

export!(Aws);
