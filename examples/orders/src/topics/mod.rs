//! `orders topics`: the registry of topics against the cluster. Kafka only: the embedded broker makes its topics itself.

#[cfg(feature = "kafka")]
mod cluster;
#[cfg(not(feature = "kafka"))]
mod without;

use crate::cli;
use factstream::broker::BrokerError;
use factstream::{Namespace, Topic};
use std::time::Duration;

#[cfg(feature = "kafka")]
pub use cluster::run;
#[cfg(not(feature = "kafka"))]
pub use without::run;

/// How long the topics keep their events: a consumer may be down for this long.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The largest message: what Kafka's brokers take unless told otherwise, said so that it is compared.
const MESSAGE_BYTES_MAX: u32 = 1_048_588;
/// Enough for as many processes of a service to share the work.
const PARTITIONS: u32 = 6;

/// The topics of this system, as code: what a service makes when it starts and finds them missing, and what
/// `orders topics apply` brings a cluster to.
pub fn registry() -> Vec<Topic> {
    ["inventory.events", "orders.events", "payments.events"]
        .map(|name| {
            Topic::new(name, PARTITIONS)
                .setting("retention.ms", RETENTION.as_millis())
                .setting("cleanup.policy", "delete")
                .setting("max.message.bytes", MESSAGE_BYTES_MAX)
        })
        .into()
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Config, builder};

    #[test]
    fn the_registry_has_every_topic_that_the_services_use_and_no_other() {
        let wired = builder(&Config::default()).topics();
        assert_eq!(wired, registry(), "the builder adds what an event names and the registry has not");
    }
}
