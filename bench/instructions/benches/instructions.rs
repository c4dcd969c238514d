//! What the pure paths that every event takes cost, in instructions: a count over its limit fails the run.
//!
//! `./dev instructions` counts them under Valgrind's Callgrind. Counts hardly differ from run to run, however busy the
//! machine is, so unlike times they can be a test. Every count is that of 100 events, or keys: what is done once does not
//! weigh. What surrounds the path (making its input, dropping what it gives back) is not counted.
//!
//! A limit stands 30 % over what was measured: a newer compiler or library fits, a path that lost its way does not. Who
//! makes a path dearer on purpose writes the new count here and says why in the commit.

// `cargo test --all-targets` starts this program, too, and has neither Valgrind nor the runner: only `cargo bench` says
// `--bench`, and only the runner `--gungraun-run`.
fn main() {
    if std::env::args().any(|arg| arg == "--bench" || arg == "--gungraun-run") {
        paths::count();
    }
}

#[allow(unreachable_pub, clippy::unnecessary_wraps, reason = "what #[library_benchmark] makes")]
mod paths {
    use super::input::{self, CustomerEvent};
    use factstream::decode::Decoder;
    use factstream::envelope::RecordedEvent;
    use factstream::message::{Message, Record};
    use factstream::partition::partition_of;
    use factstream::read_model::ReadModel;
    use factstream::sql::Value;
    use factstream::{Aggregate, Envelope, Fold};
    use gungraun::{
        Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
    };
    use orders::order::{Order, OrderEvent};
    use orders::projection::OrderProjection;

    /// The limit: 30 % over what was measured on x86-64 Linux with Rust 1.95. Nothing else is looked at, no cache simulated.
    fn measured(instructions: u64) -> LibraryBenchmarkConfig {
        let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
        callgrind.hard_limits([(EventKind::Ir, instructions * 13 / 10)]);
        let mut config = LibraryBenchmarkConfig::default();
        config.tool(callgrind);
        config
    }

    // Stored JSON to events.
    #[library_benchmark(config = measured(205_642))]
    #[bench::events(input::decoder(), input::log())]
    fn decode(decoder: &Decoder, log: &[RecordedEvent]) -> Vec<OrderEvent> {
        let decode = |event: &RecordedEvent| {
            decoder.decode(&event.event_type, event.schema_version, &event.data).expect("a known event")
        };
        log.iter().map(decode).collect()
    }

    // Stored JSON of an older schema version, lifted by one step.
    #[library_benchmark(config = measured(616_299))]
    #[bench::events(input::lifting_decoder(), input::old_events())]
    fn upcast(decoder: &Decoder, old: &[String]) -> Vec<CustomerEvent> {
        old.iter().map(|json| decoder.decode("CustomerMoved", 1, json).expect("a known event")).collect()
    }

    // Events to the states of aggregates.
    #[library_benchmark(config = measured(60_604))]
    #[bench::events(input::envelopes())]
    fn apply(envelopes: &[Envelope<OrderEvent>]) -> Vec<Order> {
        let streams = envelopes.chunk_by(|one, next| one.aggregate_id == next.aggregate_id);
        let state = |stream: &[Envelope<OrderEvent>]| {
            let mut order = Order::default();
            for envelope in stream {
                order.apply(&envelope.event);
            }
            order
        };
        streams.map(state).collect()
    }

    // Events to the rows of a read model.
    #[library_benchmark(config = measured(49_010))]
    #[bench::events(input::envelopes())]
    fn fold(envelopes: &[Envelope<OrderEvent>]) -> Vec<Option<OrderProjection>> {
        let keys = envelopes.chunk_by(|one, next| one.aggregate_id == next.aggregate_id);
        keys.map(|key| key.iter().fold(None, OrderProjection::fold)).collect()
    }

    // Rows of a read model to the values of columns.
    #[library_benchmark(config = measured(389_377))]
    #[bench::rows(input::rows())]
    fn write_rows(rows: &[OrderProjection]) -> Vec<Vec<Value>> {
        rows.iter().map(|row| row.to_row().expect("a row of JSON and text")).collect()
    }

    // What surrounds an event of the log, for its handlers.
    #[library_benchmark(config = measured(388_093))]
    #[bench::events(input::log())]
    fn envelope(log: &[RecordedEvent]) -> Vec<Envelope<()>> {
        log.iter().map(|event| event.envelope().expect("metadata as it was written")).collect()
    }

    // Public events to messages, with their headers.
    #[library_benchmark(config = measured(841_334))]
    #[bench::events(input::public_log())]
    fn publish(log: &[RecordedEvent]) -> Vec<Option<Message>> {
        log.iter().map(|event| Message::of(event).expect("an event as it was written")).collect()
    }

    // Keys to partitions.
    #[library_benchmark(config = measured(12_129))]
    #[bench::keys(input::public_log())]
    fn hash(log: &[RecordedEvent]) -> Vec<u32> {
        log.iter().map(|event| partition_of(event.aggregate_id.as_bytes(), 12)).collect()
    }

    // Consumed records to events in their envelopes.
    #[library_benchmark(config = measured(1_031_383))]
    #[bench::records(input::decoder(), input::records())]
    fn consume(decoder: &Decoder, records: &[Record]) -> Vec<Envelope<OrderEvent>> {
        let read = |record: &Record| {
            let envelope = record.envelope().expect("a record as it was published");
            let event = decoder.decode(&envelope.event_type, envelope.schema_version, &envelope.event);
            envelope.with(event.expect("a known event"))
        };
        records.iter().map(read).collect()
    }

    library_benchmark_group!(
        name = pure,
        benchmarks = [decode, upcast, apply, fold, write_rows, envelope, publish, hash, consume]
    );

    main!(library_benchmark_groups = pure);

    pub(crate) fn count() {
        main();
    }
}

/// What the paths are given: always the same, and never freed, so that freeing it is not counted.
mod input {
    use factstream::decode::{Decoder, Upcasters};
    use factstream::envelope::{Metadata, RecordedEvent};
    use factstream::message::{Message, Record};
    use factstream::partition::Partition;
    use factstream::{Aggregate, Envelope, Event, EventSet, Fold};
    use jiff::Timestamp;
    use orders::order::{Item, Order, OrderEvent};
    use orders::projection::OrderProjection;
    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use uuid::Uuid;

    /// Events, records, rows: of each that many.
    const COUNT: usize = 100;

    /// Its first schema version had one field.
    #[derive(Event, Serialize, Deserialize)]
    pub(crate) enum CustomerEvent {
        #[event(name = "CustomerMoved", version = 2, since = 1)]
        Moved { street: String, city: String },
    }

    pub(crate) fn decoder() -> &'static Decoder {
        kept(orders::order::upcasters().decoder(OrderEvent::event_types()).expect("its own upcasters fit"))
    }

    pub(crate) fn lifting_decoder() -> &'static Decoder {
        let steps = Upcasters::new().step("CustomerMoved", 1, 2, |event| {
            let address = event["address"].as_str().unwrap_or_default();
            let (street, city) = address.split_once(", ").unwrap_or((address, ""));
            Ok(json!({ "street": street, "city": city }))
        });
        kept(steps.decoder(CustomerEvent::event_types()).expect("one step leads to version 2"))
    }

    pub(crate) fn old_events() -> &'static [String] {
        let event = |number| format!(r#"{{"address":"{number} Acacia Avenue, Springfield"}}"#);
        (0..COUNT).map(event).collect::<Vec<_>>().leak()
    }

    /// Whole orders, public and private events.
    pub(crate) fn log() -> &'static [RecordedEvent] {
        events().map(|(event, _)| event).take(COUNT).collect::<Vec<_>>().leak()
    }

    /// The events that are published.
    pub(crate) fn public_log() -> &'static [RecordedEvent] {
        let public = events().filter(|(_, event)| event.event_type().topic.is_some());
        public.map(|(event, _)| event).take(COUNT).collect::<Vec<_>>().leak()
    }

    pub(crate) fn envelopes() -> &'static [Envelope<OrderEvent>] {
        let envelope = |(recorded, event): (RecordedEvent, OrderEvent)| {
            recorded.envelope().expect("metadata as it was written").with(event)
        };
        events().map(envelope).take(COUNT).collect::<Vec<_>>().leak()
    }

    pub(crate) fn records() -> &'static [Record] {
        let record = |(event, offset): (&RecordedEvent, i64)| {
            let message = Message::of(event).expect("an event as it was written").expect("a public event");
            Record {
                partition: Partition { topic: message.topic, partition: 0 },
                offset,
                key: message.key,
                value: message.value,
                headers: message.headers,
                timestamp: Some(message.timestamp),
            }
        };
        public_log().iter().zip(0..).map(record).collect::<Vec<_>>().leak()
    }

    pub(crate) fn rows() -> &'static [OrderProjection] {
        let created = |(event, _): &(RecordedEvent, OrderEvent)| event.version == 1;
        let row = |(recorded, event): (RecordedEvent, OrderEvent)| {
            let envelope = recorded.envelope().expect("metadata as it was written");
            OrderProjection::fold(None, &envelope.with(event)).expect("a created order has a row")
        };
        events().filter(created).map(row).take(COUNT).collect::<Vec<_>>().leak()
    }

    /// Order after order, each from its creation to its shipment, without end.
    fn events() -> impl Iterator<Item = (RecordedEvent, OrderEvent)> {
        (0..).flat_map(|order| {
            history(order)
                .into_iter()
                .zip(1..)
                .map(move |(event, version)| (recorded(order, version, &event), event))
        })
    }

    fn history(order: u32) -> [OrderEvent; 5] {
        let item = |sku: &str, quantity| Item { sku: sku.to_owned(), quantity, price_cents: 1_999 };
        let reserved = |sku: &str| OrderEvent::StockReserved { sku: sku.to_owned() };
        [
            OrderEvent::Created {
                customer_id: format!("customer-{order}"),
                items: vec![item("keyboard", 2), item("mouse", 1)],
                total_cents: 3 * 1_999,
                due_seconds: None,
            },
            OrderEvent::Paid { gateway: "simulated".into(), payment_id: format!("payment-{order:08}") },
            reserved("keyboard"),
            reserved("mouse"),
            OrderEvent::Shipped { tracking_number: format!("TRACK-{order:08}") },
        ]
    }

    /// As an application records it.
    fn recorded(order: u32, version: u32, event: &OrderEvent) -> RecordedEvent {
        let id =
            |number: u32| Uuid::from_u128(0x0199_b3f2_7c00_7000_8000_0000_0000_0000 | u128::from(number));
        let event_type = event.event_type();
        let metadata = Metadata {
            source: "orders".to_owned(),
            correlation_id: Some(id(order).to_string()),
            causation_id: Some(id(order).to_string()),
            topic: event_type.topic.map(str::to_owned),
            ..Metadata::default()
        };
        RecordedEvent {
            position: u64::from(order * 5 + version),
            aggregate_type: Order::TYPE.to_owned(),
            aggregate_id: id(order).to_string(),
            version: u64::from(version),
            event_id: id(order * 5 + version),
            event_type: event_type.name.to_owned(),
            schema_version: event_type.version,
            data: event.encode().expect("an order's event is JSON").into(),
            metadata: serde_json::to_string(&metadata).expect("metadata is JSON"),
            timestamp: Timestamp::from_microsecond(1_760_000_000_123_456).expect("a time of 2025"),
        }
    }

    fn kept<T>(value: T) -> &'static T {
        Box::leak(Box::new(value))
    }
}
