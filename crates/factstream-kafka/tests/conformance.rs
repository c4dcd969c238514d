//! The Kafka engine proves what every broker must prove, on a real broker.
#![allow(missing_docs)]

use factstream_conformance::BrokerUnderTest;
use factstream_core::broker::{Broker, Namespace};
use factstream_kafka::KafkaBroker;
use std::sync::Arc;

struct OnCluster {
    settings: &'static str,
    namespace: &'static str,
}

impl OnCluster {
    fn new() -> Self {
        Self { settings: "", namespace: "" }
    }

    /// Groups by the protocol of KIP-848.
    fn with_groups_kept_by_the_brokers() -> Self {
        Self { settings: "?group.protocol=consumer", namespace: "" }
    }

    fn in_a_namespace() -> Self {
        Self { settings: "", namespace: "eu." }
    }
}

#[async_trait::async_trait]
impl BrokerUnderTest for OnCluster {
    async fn open(&self) -> Arc<dyn Broker> {
        let url = factstream_tests::kafka::server() + self.settings;
        let broker = KafkaBroker::open_url(&url).expect("the engine takes the URL");
        Namespace::new(self.namespace).expect("it may be one").within(Arc::new(broker))
    }
}

factstream_conformance::broker_suite!(OnCluster::new);

mod groups_kept_by_the_brokers {
    use super::OnCluster;

    factstream_conformance::broker_suite!(OnCluster::with_groups_kept_by_the_brokers);
}

mod in_a_namespace {
    use super::OnCluster;

    factstream_conformance::broker_suite!(OnCluster::in_a_namespace);
}
