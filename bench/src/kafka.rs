//! Kafka: the relay (K1), a consumer with effects in PostgreSQL (K2; with causal order, K2c), the whole way from one service to another
//! (K3), and events that wait for their causes (K4), beside plain rdkafka and tokio-postgres.

mod support;
mod log;
mod relay;
mod consumer;
mod consumer_raw;
mod spring;
mod latency;
mod latency_raw;
mod release;

use crate::contest::{
    Bound, Contest, Entry, FACTSTREAM, MEMORY_UNDER_LOAD, Measure, Run, SPRING, Servers, Size, Target,
};

const RAW_PRODUCE: &str = "raw, idempotent produce";
const RAW_BATCHES: &str = "raw, batches of 500";
const RAW_1: &str = "raw, 1 commit a message";
const WITHOUT_CAUSAL: &str = "factstream, without causal order";
const TWO_MEMBERS: &str = "factstream, 2 members";
const RELEASE_MICROS: f64 = 250e3;
const RAW_CHAIN: &str = "raw, commit, produce, consume, commit";

const fn released(entry: &'static str) -> Target {
    Target { entry, measure: Measure::P99, bound: Bound::Within(RELEASE_MICROS) }
}

pub(crate) const CONTESTS: &[Contest] = &[
    Contest {
        name: "K1",
        what: "relay, the log to Kafka",
        unit: "events/s",
        size: Size { quick: 50_000, full: 250_000 },
        servers: Servers::BOTH,
        prepare: Some(Run::Task(|place| Box::pin(relay::prepare(place)))),
        entries: &[
            Entry { name: RAW_PRODUCE, run: Run::Task(|place| Box::pin(relay::raw(place))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(relay::relay(place))) },
        ],
        targets: &[Target::rate(0.5, RAW_PRODUCE), Target::memory(MEMORY_UNDER_LOAD)],
    },
    Contest {
        name: "K2",
        what: "consumer of 6 partitions, effects in PostgreSQL",
        unit: "messages/s",
        size: Size { quick: 50_000, full: 300_000 },
        servers: Servers::BOTH,
        prepare: Some(Run::Task(|place| Box::pin(consumer::prepare(place)))),
        entries: &[
            Entry { name: RAW_BATCHES, run: Run::Task(|place| Box::pin(consumer_raw::batches(place))) },
            Entry { name: RAW_1, run: Run::Task(|place| Box::pin(consumer_raw::one_by_one(place))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(consumer::consumer(place))) },
            Entry { name: SPRING, run: Run::Task(|place| Box::pin(spring::run(place))) },
        ],
        targets: &[
            Target::rate(0.7, RAW_BATCHES),
            Target::rate(10.0, RAW_1),
            Target::memory(MEMORY_UNDER_LOAD),
        ],
    },
    Contest {
        name: "K2c",
        what: "K2 with causal order",
        unit: "messages/s",
        size: Size { quick: 50_000, full: 300_000 },
        servers: Servers::BOTH,
        prepare: Some(Run::Task(|place| Box::pin(consumer::prepare_with_causes(place)))),
        entries: &[
            Entry { name: WITHOUT_CAUSAL, run: Run::Task(|place| Box::pin(consumer::consumer(place))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(consumer::causal_consumer(place))) },
        ],
        targets: &[Target::rate(0.9, WITHOUT_CAUSAL), Target::memory(MEMORY_UNDER_LOAD)],
    },
    Contest {
        name: "K3",
        what: "command to row in another service, 100/s",
        unit: "",
        size: Size { quick: 500, full: 3_000 },
        servers: Servers::BOTH,
        prepare: None,
        entries: &[
            Entry { name: RAW_CHAIN, run: Run::Task(|place| Box::pin(latency_raw::chain(place))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(latency::services(place))) },
        ],
        targets: &[
            Target::p50(2.0, RAW_CHAIN),
            Target { entry: FACTSTREAM, measure: Measure::P99, bound: Bound::AtMost(10.0, RAW_CHAIN) },
            Target::memory(MEMORY_UNDER_LOAD),
        ],
    },
    Contest {
        name: "K4",
        what: "an event that waited for its cause, after the cause",
        unit: "",
        size: Size { quick: 20, full: 200 },
        servers: Servers::BOTH,
        prepare: None,
        entries: &[
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(release::release(place, 1))) },
            Entry { name: TWO_MEMBERS, run: Run::Task(|place| Box::pin(release::release(place, 2))) },
        ],
        targets: &[released(FACTSTREAM), released(TWO_MEMBERS)],
    },
];
