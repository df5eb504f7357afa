//! The one integration binary: the real `trueup` on real repositories and directories.

mod adopt;
mod asked;
mod claims;
mod crash;
mod dns;
mod documents;
mod doubt;
mod elsewhere;
mod health;
mod input;
mod moved;
mod neighbours;
mod newcomer;
mod order;
mod plans;
mod plugin;
mod progress;
mod record;
mod rename;
mod sandbox;
mod secrets;
mod shapes;
mod tidy;
mod unknown;
mod verbs;
mod walk;
