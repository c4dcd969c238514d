//! A build without Kafka has no cluster to compare with.

use super::declared;
use crate::{Failed, cli};
use std::future::{Ready, ready};
use std::process::ExitCode;

/// Tells that this build has no Kafka.
///
/// # Errors
/// Always.
pub fn run(args: cli::Topics) -> Ready<Result<ExitCode, Failed>> {
    ready(Err(match declared(&args) {
        Ok(topics) => {
            let count = topics.len();
            format!(
                "this build has no Kafka: the {count} topics lie in the store; build it with --features kafka"
            )
            .into()
        }
        Err(error) => error.into(),
    }))
}
