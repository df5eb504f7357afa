//! The AWS provider on moto: every kind from its making to its end, and what it costs in requests.
//!
//! A kind is covered by a file in `kinds/`; [`case`] says what stands in it. `TRUEUP_TEST_KINDS=Queue,Vpc` runs these alone.

mod case;
mod kinds;
mod requests;
mod site;
#[path = "../../../plugins/aws/yaml.rs"]
mod yaml;
