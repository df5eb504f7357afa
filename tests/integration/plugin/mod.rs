//! The authors' kit, from the outside.

mod contract;
mod registry;
