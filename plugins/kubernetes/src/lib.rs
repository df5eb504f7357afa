//! The provider of Kubernetes objects: every kind that a cluster serves, by discovery and server-side apply.
//!
//! The heart is pure: [`openapi`], [`definition`] and [`discovery`] turn what the API server says of its kinds into kinds of the contract, [`object`],
//! [`canonical`] and [`quantity`] turn objects into documents and back, [`health`], [`mark`], [`managed`] and [`order`] judge what is
//! seen. [`fetch`], [`list`], [`apply`], [`settle`] and [`refine`] carry questions and changes to the server, and [`provider`] says
//! what the engine's calls mean for them.

pub mod apply;
pub mod canonical;
pub mod definition;
pub mod discovery;
pub mod error;
pub mod fetch;
pub mod health;
pub mod kind;
pub mod list;
pub mod managed;
pub mod manifest;
pub mod mark;
pub mod object;
pub mod openapi;
pub mod order;
pub mod provider;
pub mod quantity;
pub mod refine;
pub mod render;
pub mod secret;
pub mod settle;

use provider::Kubernetes;
use trueup_sdk::export;

export!(Kubernetes);
