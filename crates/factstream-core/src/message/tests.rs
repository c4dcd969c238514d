//! The contract of a message, both ways.

use super::*;
use proptest::prelude::*;

fn recorded(data: &str) -> RecordedEvent {
    let metadata = r#"{"source":"order","correlation_id":"k","causation_id":"c","topic":"orders.events"}"#;
    RecordedEvent {
        position: 7,
        aggregate_type: "order".into(),
        aggregate_id: "o-\"1".into(),
        version: 2,
        event_id: Uuid::from_u128(1),
        event_type: "OrderShipped".into(),
        schema_version: 1,
        data: data.into(),
        metadata: metadata.into(),
        timestamp: "2026-01-02T03:04:05Z".parse().unwrap(),
    }
}

#[test]
fn what_is_shown_of_an_event_and_its_message_is_the_size_of_the_content() {
    let event = recorded(r#"{"name":"Jane Doe"}"#);
    let message = Message::of(&event).unwrap().expect("public");
    let shown = format!("{event:?} {message:?} {:?}", record(message.clone()));
    assert!(!shown.contains("Jane") && shown.contains("data: 19 bytes"), "{shown}");
}

fn record(message: Message) -> Record {
    Record {
        partition: Partition { topic: message.topic, partition: 3 },
        offset: 11,
        key: message.key,
        value: message.value,
        headers: message.headers,
        timestamp: Some(message.timestamp),
    }
}

fn published() -> Record {
    record(Message::of(&recorded(r#"{"tracking_number":"TN"}"#)).unwrap().expect("public"))
}

fn keep(record: &mut Record, is_kept: impl Fn(&str) -> bool) {
    record.headers = record.headers.iter().filter(|(name, _)| is_kept(name)).collect();
}

#[test]
fn a_published_event_is_read_back_whole() {
    let event = recorded(r#"{"tracking_number":"TN"}"#);
    let record = published();
    let envelope = record.envelope().unwrap();
    assert_eq!(
        record.value.as_deref(),
        Some(br#"{"aggregate_id":"o-\"1","tracking_number":"TN"}"#.as_slice())
    );
    assert_eq!(envelope.event, event.data, "as it was recorded");
    assert_eq!(envelope.clone().with(()), event.envelope().unwrap());
}

#[test]
fn causes_go_along_and_what_cannot_be_that_is_not_in_the_way() {
    let before = recorded("{}");
    assert!(before.envelope().unwrap().causes.is_empty(), "an event of an earlier release");
    assert!(Message::of(&before).unwrap().unwrap().headers.get("causes").is_none());
    let text = "e-1/OrderPlaced/orders.events,e-0/Pay%20%c3%a4/payments.events";
    let mut event = recorded("{}");
    event.metadata = event.metadata.replace('}', &format!(r#","causes":"{text}"}}"#));
    let message = Message::of(&event).unwrap().expect("public");
    assert_eq!(message.headers.get("causes"), Some(text.as_bytes()));
    let read = record(message).envelope().unwrap().with(());
    assert_eq!(read, event.envelope().unwrap());
    assert_eq!((read.topic.as_deref(), read.causes.as_str()), (Some("orders.events"), text));
    assert_eq!(
        read.causes.iter().map(|cause| cause.event_type).collect::<Vec<_>>(),
        ["OrderPlaced", "Pay ä"]
    );
    // What it leads to has it as its newest cause; also once it was kept as a letter.
    let mut kept = published();
    kept.partition.topic = LOG.to_owned();
    kept.headers = headers(&event);
    let kept = kept.envelope().unwrap();
    for envelope in [&read, &kept.with(())] {
        assert_eq!(
            envelope.onward_causes().as_str(),
            format!("{}/OrderShipped/orders.events,{text}", event.event_id)
        );
    }
    for value in [&b""[..], &[0xff], b"because", b"a/b/c\0", &[b'x'; 5_000]] {
        let mut record = published();
        record.headers.push("causes", value);
        assert!(record.envelope().unwrap().causes.is_empty());
    }
    for other in ["5", "null", r#"["a"]"#, r#"{"a":1}"#, r#""because""#] {
        event.metadata = format!(r#"{{"source":"s","topic":"t","causes":{other}}}"#);
        assert!(event.envelope().unwrap().causes.is_empty());
        assert!(Message::of(&event).unwrap().is_some());
    }
}

#[test]
fn who_asked_goes_along_and_what_cannot_be_that_is_not_in_the_way() {
    let mut event = recorded("{}");
    let asked = r#","actor":"user-ä","attributes":{"channel":"web","a\"b":"c,d=e"}}"#;
    event.metadata = event.metadata.replace('}', asked);
    let message = Message::of(&event).unwrap().expect("public");
    assert_eq!(message.headers.get("actor"), Some("user-ä".as_bytes()));
    let sent = record(message);
    let read = sent.envelope().unwrap();
    assert_eq!(read.actor.as_deref(), Some("user-ä"));
    assert_eq!((read.attributes["channel"].as_str(), read.attributes["a\"b"].as_str()), ("web", "c,d=e"));
    assert_eq!(read.with(()), event.envelope().unwrap());

    let with = |name: &str, value: &[u8]| {
        let mut record = published();
        record.headers.push(name, value);
        record.envelope().unwrap().map(std::borrow::Cow::into_owned)
    };
    for value in [&b""[..], &[0xff], b"a\0b", b"a\nb", &[b'x'; 300]] {
        assert_eq!((with("actor", value), with("attributes", value)), (with("x", b""), with("x", b"")));
    }
    let partly = with("attributes", br#"{"a":"1","b":2,"":"3","c":"x\ny"}"#).attributes;
    assert_eq!(partly.into_iter().collect::<Vec<_>>(), [("a".to_owned(), "1".to_owned())]);
    // What somebody else wrote into the store's metadata is not in the way, either.
    event.metadata = r#"{"source":"s","topic":"t","actor":{"id":5},"attributes":"none"}"#.into();
    assert_eq!(event.envelope().unwrap().actor, None);
    assert!(Message::of(&event).unwrap().is_some());
}

#[test]
fn an_event_without_fields_has_just_its_aggregate_id() {
    let message = Message::of(&recorded("{}")).unwrap().expect("public");
    assert_eq!(message.value.as_deref(), Some(br#"{"aggregate_id":"o-\"1"}"#.as_slice()));
}

#[test]
fn five_headers_of_a_foreign_producer_are_enough_and_a_zoneless_time_is_utc() {
    let mut record = published();
    keep(&mut record, |name| ["event_id", "event_type", "source", "correlation_id"].contains(&name));
    record.headers.push("timestamp", "2026-01-02T03:04:05.678");
    let envelope = record.envelope().unwrap();
    assert_eq!(envelope.timestamp, "2026-01-02T03:04:05.678Z".parse::<Timestamp>().unwrap());
    assert_eq!((envelope.schema_version, envelope.version, envelope.position), (1, None, None));
}

#[test]
fn a_message_without_event_id_is_known_by_its_place_and_what_lies_there() {
    let mut record = published();
    keep(&mut record, |name| name != "event_id");
    let id = |record: &Record| record.envelope().unwrap().identity().to_owned();
    let known = id(&record);
    assert!(known.starts_with("orders.events/3/11/"), "{known}");
    assert_eq!(id(&record.clone()), known, "read again, it is the same");
    let later = Timestamp::from_second(1_900_000_000).ok();
    let others = [
        Record { timestamp: later, ..record.clone() },
        Record { key: Some(b"other".to_vec()), ..record.clone() },
        Record { value: Some(b"{}".to_vec()), ..record.clone() },
        Record { offset: 12, ..record.clone() },
    ];
    for other in others {
        assert_ne!(id(&other), known, "{other:?}");
    }
    assert_eq!(record.former_identity(), "orders.events/3/11");
    let kept = record.envelope_known_as(Some("orders.events/3/11")).unwrap();
    assert_eq!((kept.event_id.as_str(), kept.identity()), ("orders.events/3/11", "orders.events/3/11"));
}

#[test]
fn a_foreign_id_is_known_within_its_topic_and_source_and_ours_everywhere() {
    let ours = published();
    let elsewhere = |record: &Record| {
        let mut record = record.clone();
        record.partition.topic = "elsewhere".into();
        record
    };
    let identity = |record: &Record| record.envelope().unwrap().identity().to_owned();
    assert_eq!(identity(&ours), Uuid::from_u128(1).to_string());
    assert_eq!(identity(&elsewhere(&ours)), identity(&ours));

    let mut foreign = published();
    keep(&mut foreign, |name| !["position", "event_id", "source"].contains(&name));
    foreign.headers.push("event_id", "1");
    let with_source = |source: &str| {
        let mut record = foreign.clone();
        record.headers.push("source", source);
        record
    };
    let (one, other) = (with_source("one"), with_source("other"));
    let all = [&foreign, &elsewhere(&foreign), &one, &other, &elsewhere(&one)].map(identity);
    let distinct: std::collections::HashSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
    assert_eq!(identity(&Record { offset: 99, ..one.clone() }), identity(&one), "sent twice");
    let envelope = one.envelope().unwrap();
    assert_eq!(envelope.event_id, "1", "handlers see what the producer sent");
    assert_eq!(one.envelope_known_as(Some("1")).unwrap().identity(), "1");
}

#[test]
fn a_binary_key_orders_and_the_value_names_the_aggregate() {
    let mut record = published();
    record.key = Some(42_u64.to_be_bytes().to_vec());
    assert_eq!(record.order_key(), "bytes:000000000000002a");
    assert_eq!(record.envelope().unwrap().aggregate_id, "o-\"1");
    record.value = Some(b"{}".to_vec());
    assert_eq!(record.envelope().unwrap().aggregate_id, record.order_key());
}

#[test]
fn only_our_own_headers_have_to_be_text() {
    let mut record = published();
    record.headers.push("kafka_dlt-original-partition", 3_u32.to_be_bytes());
    record.headers.push("ce_binary", [0xff, 0xfe, 0x00]);
    let read = record.envelope().unwrap();
    assert_eq!(read, published().envelope().unwrap());
}

#[test]
fn what_a_decoder_makes_of_a_record_is_read_with_what_the_record_says() {
    let mut record = published();
    record.headers = Headers::from_iter([("source", "theirs"), ("correlation_id", "c")]);
    record.key = Some(vec![0, 0, 0, 0, 1]);
    let value = serde_json::json!({ "aggregate_id": "a-1" });
    let decoded = Decoded::new("OrderShipped", value).event_id("7");
    let envelope = record.envelope_of(&decoded, None).unwrap();
    assert_eq!((envelope.aggregate_id.as_str(), envelope.source.as_str()), ("a-1", "theirs"));
    assert_eq!(envelope.correlation_id.as_deref(), Some("c"));
    assert_eq!(record.order_key_of(&decoded), "bytes:0000000001", "the order is the record's own");
    assert_eq!(record.order_key_of(&decoded.clone().key("k")), "k");
    assert_ne!(envelope.identity(), "7", "known within its topic and source");
    for bad in
        [Decoded::new("", serde_json::json!({})), decoded.clone().event_id("a\nb"), decoded.aggregate_id("")]
    {
        assert!(matches!(record.envelope_of(&bad, None), Err(Unreadable::Refused { .. })), "{bad:?}");
    }
}

#[test]
fn a_message_without_key_takes_the_aggregate_id_of_its_value() {
    let mut record = published();
    record.key = None;
    assert_eq!(record.envelope().unwrap().aggregate_id, "o-\"1");
    record.value = Some(b"{}".to_vec());
    assert_eq!(record.envelope(), Err(Unreadable::NoKey));
    assert_eq!(record.order_key(), "orders.events/3");
}

#[test]
fn what_cannot_be_read_says_why() {
    let with = |name: &str, value: &[u8]| {
        let mut record = published();
        keep(&mut record, |header| header != name);
        record.headers.push(name, value);
        record.envelope().expect_err("unreadable")
    };
    assert!(matches!(with("timestamp", b"yesterday"), Unreadable::BadHeader { header: "timestamp", .. }));
    assert!(matches!(with("schema_version", b"-1"), Unreadable::BadHeader { header: "schema_version", .. }));
    assert!(matches!(with("source", &[0xff]), Unreadable::HeaderNotUtf8 { .. }));
    assert!(matches!(with("event_id", b""), Unreadable::BadHeader { header: "event_id", .. }));
    for bad in [&b""[..], b"Order\0Shipped", b"Order\nShipped", &[b'x'; 300]] {
        let error = with("event_type", bad);
        assert!(matches!(error, Unreadable::BadHeader { header: "event_type", .. }), "{error}");
    }
    assert!(matches!(
        with("correlation_id", b"a\0b"),
        Unreadable::BadHeader { header: "correlation_id", .. }
    ));
    let mut record = published();
    record.value = None;
    assert_eq!(record.envelope(), Err(Unreadable::NoValue));
    record.value = Some(vec![0xff]);
    assert_eq!(record.envelope(), Err(Unreadable::NotUtf8));
    record.headers = Headers::new();
    assert_eq!(record.envelope(), Err(Unreadable::NoHeader { header: "event_type" }));
}

#[test]
fn a_header_with_a_nul_is_no_text_for_a_database() {
    let mut record = published();
    record.headers = Headers::from_iter([("event_type", "Order\0Shipped")]);
    assert_eq!(record.header("event_type"), None);
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(
        key in any::<Option<Vec<u8>>>(),
        value in any::<Option<Vec<u8>>>(),
        headers in proptest::collection::vec(("event_id|event_type|timestamp|position", any::<Vec<u8>>()), 0..6),
    ) {
        let record = Record { key, value, headers: headers.into_iter().collect(), ..published() };
        let _ = record.envelope();
        prop_assert!(!record.order_key().is_empty());
    }
}
