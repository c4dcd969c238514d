//! The topics of this system, as code.

use factstream::Topic;
use std::time::Duration;

/// How long the topics keep their events: a consumer may be down for this long.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The largest message: what Kafka's brokers take unless told otherwise, said so that it is compared.
const MESSAGE_BYTES_MAX: u32 = 1_048_588;
/// Enough for as many processes of a service to share the work.
const PARTITIONS: u32 = 6;

/// What a service makes when it starts and finds them missing, and what
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
