//! The one integration binary: the real `trueup` on real repositories and directories.

mod crash;
mod input;
mod walk;
