//! Where a service listens.
