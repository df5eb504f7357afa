pub mod arguments;
pub mod error;
pub mod exit;
