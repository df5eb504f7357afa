//! The child process that fetches.
