//! Counts what the pure paths that every event takes cost, in instructions: `benches/instructions.rs`.
//!
//! A workspace of its own: what counts them switches features of common crates on, and would have everything built twice.
