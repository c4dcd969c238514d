//! The Kafka engine proves what every broker must prove, on a real broker.
#![allow(missing_docs)]

use factstream_conformance::BrokerUnderTest;
use factstream_core::broker::Broker;
use factstream_kafka::KafkaBroker;
use std::sync::Arc;

struct OnCluster;

impl OnCluster {
    fn new() -> Self {
        Self
    }
}

#[async_trait::async_trait]
impl BrokerUnderTest for OnCluster {
    async fn open(&self) -> Arc<dyn Broker> {
        let url = factstream_tests::kafka::server();
        Arc::new(KafkaBroker::open_url(&url).expect("the engine takes the URL"))
    }
}

factstream_conformance::broker_suite!(OnCluster::new);
