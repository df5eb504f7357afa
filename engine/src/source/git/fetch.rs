//! Fetching over HTTP, in the child process.
