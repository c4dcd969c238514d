//! `orders topics`: the registry of topics against the cluster. Kafka only: the embedded broker makes its topics itself.

#[cfg(feature = "kafka")]
mod cluster;
#[cfg(not(feature = "kafka"))]
mod without;

use crate::cli;
use crate::registry::registry;
use factstream::broker::BrokerError;
use factstream::{Namespace, Topic};

#[cfg(feature = "kafka")]
pub use cluster::run;
#[cfg(not(feature = "kafka"))]
pub use without::run;

/// The topics with the replication that the command line asks for.
///
/// # Errors
/// When a name with its namespace is none that Kafka takes.
fn declared(args: &cli::Topics) -> Result<Vec<Topic>, BrokerError> {
    let namespace = Namespace::new(&args.namespace)?;
    let topics = registry().into_iter().map(|topic| match args.replication {
        Some(brokers) => topic.replication(brokers),
        None => topic,
    });
    topics.map(|topic| namespace.topic(topic)).collect()
}
