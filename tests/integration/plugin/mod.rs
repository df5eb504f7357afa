//! The authors' kit: `trueup plugin …` on real components and servers.

mod conformance;
mod mutants;
