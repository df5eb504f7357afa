//! The authors' kit: plugins begun, built, tried and handed on, with the real binary and real toolchains.

mod conformance;
mod contract;
mod mutants;
mod named;
mod new;
mod registry;
mod tutorial;
