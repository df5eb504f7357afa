//! The one integration binary: the real `trueup` on real repositories and directories.

mod crash;
mod documents;
mod input;
mod plans;
mod sandbox;
mod secrets;
mod verbs;
mod walk;
