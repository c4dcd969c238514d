//! What must hold for everything that decodes bytes, whatever the bytes are: a value or a clear error, never a panic; what
//! is decoded and encoded again is the same; no error quotes much of what came in, and none a password.
//!
//! Each check takes plain bytes or text, so that a fuzzer (`fuzz_targets/`) and the property tests
//! (`tests/hostile/bytes.rs`) call the same ones. They panic where something does not hold.

use factstream::decode::Decoder;
use factstream::envelope::{Envelope, RecordedEvent, check_id};
use factstream::event::{Event, EventSet};
use factstream::message::{Headers, Message, Record};
use factstream::partition::Partition;
use factstream::{Failure, kafka, postgres, read_model, redact_url, sqlite};
use orders::http;
use orders::order::OrderEvent;
use std::borrow::Cow;

/// The longest text of an error.
pub const ERROR_BYTES_MAX: usize = 5_000;
/// A password that appears in no output.
pub const CANARY: &str = "c4n4ry-0f-4-p4ssw0rd";

/// Settings whose values are secrets.
const SECRETS: [&str; 7] = [
    "password",
    "sasl.password",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase",
];

/// The bytes in pieces: of each, first its length.
struct Pieces<'a>(&'a [u8]);

impl<'a> Pieces<'a> {
    fn number(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.number()).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        piece
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

/// A record of a topic, from any producer.
pub fn record(data: &[u8]) {
    let mut pieces = Pieces(data);
    let flags = pieces.number();
    let key = (flags & 1 == 0).then(|| pieces.bytes().to_vec());
    let mut headers = Headers::new();
    let names = ["event_type", "event_id", "timestamp", "schema_version", "position", "correlation_id"];
    for name in names.iter().take(usize::from(flags >> 1 & 7)) {
        headers.push(name, pieces.bytes());
    }
    if flags & 0x10 != 0 {
        headers.push(&pieces.text(), pieces.bytes());
    }
    let value = (flags & 0x20 == 0).then(|| pieces.0.to_vec());
    let partition = Partition { topic: "orders.events".into(), partition: 0 };
    check_record(&Record { partition, offset: 7, key, value, headers, timestamp: None });
}

/// A record is read whole, or refused with a short reason; what is read can be written and read again.
pub fn check_record(record: &Record) {
    let key = record.order_key();
    assert!(!key.is_empty() && check_id("key", &key).is_ok(), "the order key {key:?}");
    match record.envelope() {
        Ok(envelope) => {
            assert!(check_id("aggregate id", &envelope.aggregate_id).is_ok(), "{:?}", envelope.aggregate_id);
            let written = written(record, &envelope);
            let mut read = written.envelope().expect("what is written is read again");
            read.scoped_id.clone_from(&envelope.scoped_id); // an id that it got is a foreign one when it is written
            read.aggregate_id.clone_from(&envelope.aggregate_id); // the value says it, where the key is not ours
            assert_eq!(read, envelope, "what is written is read again");
        }
        Err(error) => check_text(&error.to_string()),
    }
}

/// The record that holds this envelope.
fn written(record: &Record, envelope: &Envelope<Cow<'_, str>>) -> Record {
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let headers = [
        ("event_id", Some(envelope.event_id.clone())),
        ("event_type", Some(envelope.event_type.clone())),
        ("timestamp", Some(envelope.timestamp.to_string())),
        ("source", Some(envelope.source.clone())),
        ("correlation_id", envelope.correlation_id.clone()),
        ("causation_id", envelope.causation_id.clone()),
        ("aggregate_type", envelope.aggregate_type.clone()),
        ("aggregate_version", number(envelope.version)),
        ("schema_version", number(Some(envelope.schema_version.into()))),
        ("position", number(envelope.position)),
        ("traceparent", envelope.traceparent.clone()),
        ("actor", envelope.actor.clone()),
        ("attributes", serde_json::to_string(&envelope.attributes).ok()),
    ];
    let headers = headers.into_iter().filter_map(|(name, text)| Some((name, text?)));
    Record {
        key: Some(envelope.aggregate_id.clone().into_bytes()),
        headers: headers.collect(),
        ..record.clone()
    }
}

/// An event as it may lie in a store that somebody wrote to.
pub fn event(data: &[u8]) {
    let mut pieces = Pieces(data);
    let event = RecordedEvent {
        position: u64::from(pieces.number()) + 1,
        aggregate_type: "order".into(),
        aggregate_id: pieces.text(),
        version: u64::from(pieces.number()) + 1,
        event_id: uuid(pieces.number()),
        event_type: pieces.text(),
        schema_version: u32::from(pieces.number()),
        metadata: pieces.text(),
        data: String::from_utf8_lossy(pieces.0).into_owned(),
        timestamp: factstream::sql::now(),
    };
    check_event(&event);
}

fn uuid(number: u8) -> uuid::Uuid {
    uuid::Uuid::from_u128(u128::from(number))
}

/// An event's envelope and message are made or refused; what is published is read as it was recorded.
pub fn check_event(event: &RecordedEvent) {
    let envelope = event.envelope();
    let message = Message::of(event);
    let (envelope, message) = match (envelope, message) {
        (Ok(envelope), Ok(Some(message))) => (envelope, message),
        (Err(error), _) | (_, Err(error)) => return check_failure(error),
        (Ok(_), Ok(None)) => return,
    };
    let partition = Partition { topic: message.topic, partition: 0 };
    let Message { key, value, headers, .. } = message;
    let record = Record { partition, offset: 7, key, value, headers, timestamp: None };
    check_record(&record);
    let is_object = serde_json::from_str::<serde_json::Map<_, _>>(&event.data).is_ok();
    if let (true, Ok(read)) = (is_object, record.envelope()) {
        let fields = |json: &str| {
            serde_json::from_str::<serde_json::Map<_, _>>(json).expect("an object stays an object")
        };
        let own = fields(&read.event);
        let timestamp = envelope.timestamp;
        if check_id("aggregate id", &event.aggregate_id).is_ok() {
            assert_eq!(own, fields(&event.data), "published as it was recorded");
            assert_eq!(read.with(()), Envelope { timestamp, ..envelope }, "published as it was recorded");
        }
    }
}

/// An event's JSON, in any schema version.
pub fn content(data: &[u8]) {
    let mut pieces = Pieces(data);
    let (which, version) = (pieces.number(), u32::from(pieces.number() % 4));
    let types = OrderEvent::event_types();
    let name = match types.into_iter().nth(usize::from(which)) {
        Some(known) => known.name.to_owned(),
        None => pieces.text(),
    };
    check_content(&name, version, &String::from_utf8_lossy(pieces.0));
}

/// An event is decoded or refused with a reason that can be kept; what is decoded is encoded and decoded to the same.
pub fn check_content(event_type: &str, version: u32, json: &str) {
    let decoder: Decoder =
        orders::order::upcasters().decoder(OrderEvent::event_types()).expect("its own upcasters fit");
    match decoder.decode::<OrderEvent>(event_type, version, json) {
        Ok(event) => {
            let again = event.encode().expect("what is decoded is encoded");
            let again = decoder.decode::<OrderEvent>(event_type, version, &again).expect("and decoded");
            assert_eq!(again, event, "{json}");
        }
        Err(error) => check_failure(error),
    }
}

/// Where a page ended, as a client sends it back.
pub fn cursor(text: &str) {
    match read_model::cursor_again(text, "order_projections", "order_id") {
        Ok(again) => {
            let once_more = read_model::cursor_again(&again, "order_projections", "order_id");
            assert_eq!(once_more.ok(), Some(again), "a cursor stays as it is");
        }
        Err(error) => {
            let error = error.to_string();
            check_text(&error);
            assert!(error.contains("cursor"), "{error}");
        }
    }
}

/// A URL of whatever shape, taken for each engine's.
pub fn url(text: &str) {
    for (answer, _) in answers(text) {
        check_text(&answer);
    }
}

/// A URL with a password where a URL has one, and anything around it.
pub fn url_with_a_password(data: &[u8]) {
    let mut pieces = Pieces(data);
    let (which, secret) = (pieces.number(), SECRETS[usize::from(pieces.number()) % SECRETS.len()]);
    let scheme = ["sqlite", "postgres", "postgresql", "kafka", "mysql", "embedded"][usize::from(which) % 6];
    let [user, host, database] = [pieces.text(), pieces.text(), pieces.text()];
    let rest = String::from_utf8_lossy(pieces.0);
    for url in [
        format!("{scheme}://{user}:{CANARY}@{host}/{database}?{rest}"),
        format!("{scheme}://{host}/{database}?{rest}&{secret}={CANARY}"),
    ] {
        let shown = redact_url(&url);
        assert!(!shown.contains(CANARY), "{url:?} is shown as {shown:?}");
        for (answer, engine) in answers(&url) {
            assert!(!answer.contains(CANARY), "{engine} answers {url:?} with {answer:?}");
            check_text(&answer);
        }
    }
}

/// What each engine says to a URL.
fn answers(url: &str) -> [(String, &'static str); 3] {
    let sqlite = match sqlite::path_of(url) {
        Ok(path) => {
            assert!(!path.as_os_str().is_empty(), "{url:?} names no file");
            String::new()
        }
        Err(error) => told(&error),
    };
    // Files of certificates are not what is looked at here.
    let url_without_files = url.replace("sslroot", "");
    let postgres = postgres::check_url(&url_without_files).unwrap_or_else(|error| told(&error));
    let kafka = kafka::check_url(url).unwrap_or_else(|error| told(&error));
    [(sqlite, "SQLite"), (postgres, "PostgreSQL"), (kafka, "Kafka")]
}

fn told(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    assert!(text.contains("cannot be used"), "it is not said what is wrong: {text:?}");
    text
}

/// The body of an order.
pub fn body(bytes: &[u8]) {
    match http::read_order(bytes) {
        Ok(json) => {
            let again = http::read_order(json.as_bytes());
            assert_eq!(again.as_ref(), Ok(&json), "an order stays as it is");
        }
        Err(problem) => {
            assert_eq!(problem.status().as_u16(), 400, "{}", problem.detail());
            check_text(problem.detail());
        }
    }
}

/// `?limit=`
pub fn limit(text: &str) {
    match http::read_page(text) {
        Ok(rows) => assert!((1..=1_000).contains(&rows), "{rows}"),
        Err(problem) => check_text(problem.detail()),
    }
}

/// What is kept of an error as the reason of a dead letter.
fn check_failure(error: impl std::error::Error + Send + Sync + 'static) {
    let chain = Failure::permanent(error).chain();
    for text in &chain {
        check_text(text);
        assert!(!text.contains('\0'), "no database keeps a NUL: {chain:?}");
    }
}

fn check_text(text: &str) {
    assert!(
        text.len() <= ERROR_BYTES_MAX,
        "{} bytes: {}",
        text.len(),
        &text[..text.floor_char_boundary(200)]
    );
}
