//! The authors' kit: plugins begun, built, tried and handed on, with the real binary and real toolchains.

mod contract;
mod new;
mod registry;
