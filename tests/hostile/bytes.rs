//! Everything that decodes bytes, given bytes of all kinds. The checks are those that the fuzzer calls, too (`fuzz/`).

use crate::checks;
use factstream::envelope::RecordedEvent;
use factstream::message::Record;
use factstream::partition::Partition;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::string::string_regex;

/// How often each property is tried.
const CASES: u32 = 2_000;

const HEADERS: &str = "event_id|event_type|timestamp|source|correlation_id|causation_id|aggregate_type|aggregate_version|\
                       schema_version|position|traceparent|.{0,5}";
/// What a header may hold: words that nearly make sense, or anything.
const HEADER: &str = "OrderCreated|[0-9]{1,25}|-[0-9]|2026-0[0-9]-1[0-9]T0[0-9]:0[0-9]:0[0-9](\\.[0-9]{1,12})?(Z|\\+02:00)?|\
                      -?[0-9]{1,6}-13-01|[a-z]{0,20}|(?s).{0,40}|a\0b|x{300}";
/// Something like JSON.
const JSON: &str = "\\{(\"(aggregate_id|customer_id|items|total_cents|source|topic|tracking_number)\":\
                    (\"[a-z\\\\u0\"]{0,9}\"|[0-9.e-]{1,30}|\\[\\]|\\[\\{\"sku\":\"a\",\"quantity\":1,\"price_cents\":5\\}\\]|null|\\{\\}),?){0,4}\\}";

fn text(pattern: &str) -> impl Strategy<Value = String> + use<> {
    string_regex(pattern).unwrap()
}

fn json() -> impl Strategy<Value = String> {
    let order =
        r#"{"customer_id":"c-1","items":[{"sku":"SKU-1","quantity":2,"price_cents":5}],"total_cents":10}"#;
    let cut = (0..order.len(), any::<char>())
        .prop_map(move |(at, sign)| format!("{}{sign}{}", &order[..at], &order[at + 1..]));
    let metadata = r#"{"source":"order","correlation_id":"k","topic":"orders.events"}"#;
    prop_oneof![
        text(JSON),
        Just(order.to_owned()),
        Just(metadata.to_owned()),
        cut,
        text("(?s).{0,60}"),
        deep(),
        long()
    ]
}

/// Nested far deeper than anything that is meant.
fn deep() -> impl Strategy<Value = String> {
    (1..3_000_usize, prop_oneof![Just(("[", "]")), Just(("{\"a\":", "}"))])
        .prop_map(|(depth, (open, close))| format!("{}1{}", open.repeat(depth), close.repeat(depth)))
}

/// One text much longer than any error may be.
fn long() -> impl Strategy<Value = String> {
    let long = || "ä\\u0000".repeat(20_000);
    prop_oneof![
        Just(format!("\"{}\"", long())),
        Just(format!("{{\"customer_id\":\"c\",\"items\":\"{}\"}}", long())),
        Just(format!("{{\"{}\":1}}", long())),
        Just(format!("{{\"source\":1,\"topic\":\"{}\"}}", long())),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![json().prop_map(String::into_bytes), vec(any::<u8>(), 0..200)]
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let value = prop_oneof![4 => text(HEADER).prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..30)];
    (text(HEADERS), value)
}

/// URLs with the parts that URLs have, in odd places.
fn url() -> impl Strategy<Value = String> {
    let part = "sqlite|postgres|postgresql|kafka|://|:|//|/|@|\\?|&|=|#|,|%|%00|%zz|%40|\\[::1\\]|host|5432|99999|orders.db|:memory:|\
                sslmode|sslrootcert|verify-full|system|linger.ms|sasl.password|(?s).";
    vec(text(part), 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_record_is_read_whole_or_refused_with_a_short_reason(
        key in proptest::option::of(bytes()),
        value in proptest::option::of(bytes()),
        headers in vec(header(), 0..6),
        is_typed in any::<bool>(),
    ) {
        let mut headers = headers;
        if is_typed {
            headers.retain(|(name, _)| name != "event_type");
            headers.push(("event_type".into(), b"OrderCreated".to_vec()));
        }
        let partition = Partition { topic: "orders.events".into(), partition: 3 };
        let headers = headers.into_iter().collect();
        checks::check_record(&Record { partition, offset: 11, key, value, headers, timestamp: None });
    }

    #[test]
    fn an_event_is_published_as_it_was_recorded_or_refused(
        id in text(HEADER), event_type in text(HEADER), data in json(), metadata in json(),
    ) {
        let event = RecordedEvent {
            position: 7,
            aggregate_type: "order".into(),
            aggregate_id: id,
            version: 2,
            event_id: uuid::Uuid::from_u128(1),
            event_type,
            schema_version: 1,
            data,
            metadata,
            timestamp: factstream::sql::now(),
        };
        checks::check_event(&event);
    }

    #[test]
    fn an_event_is_decoded_and_encoded_to_the_same_or_refused(
        event_type in "OrderCreated|OrderShipped|OrderCancelled|OrderPaid|OrderPaymentApproved|(?s).{0,20}",
        version in 0..4_u32,
        json in json(),
    ) {
        checks::check_content(&event_type, version, &json);
    }

    #[test]
    fn a_cursor_stays_as_it_is_or_is_refused(
        table in "order_projections|other",
        value in "\"[a-z\\\\u0]{0,9}\"|-?[0-9]{1,25}|-?[0-9]{1,4}\\.[0-9]{1,4}(e[0-9]{1,4})?|true|null|\\[\\]",
        key in "\"[a-z]{0,9}\"|1|\\{\\}",
        junk in "(?s).{0,40}",
    ) {
        use base64::Engine as _;
        let json = format!(r#"{{"table":"{table}","column":"order_id","value":{value},"key":{key}}}"#);
        checks::cursor(&base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json));
        checks::cursor(&junk);
    }

    #[test]
    fn a_url_names_an_engine_or_is_refused(url in url(), junk in "(?s).{0,60}") {
        checks::url(&url);
        checks::url(&junk);
    }

    #[test]
    fn a_password_in_a_url_is_never_told(
        which in any::<(u8, u8)>(), parts in (text("(?s).{0,9}"), url(), url()), rest in url(),
    ) {
        let mut data = vec![which.0, which.1];
        for part in [parts.0, parts.1, parts.2] {
            data.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
            data.extend(part.as_bytes().iter().take(usize::from(u8::MAX)));
        }
        data.extend(rest.as_bytes());
        checks::url_with_a_password(&data);
    }

    #[test]
    fn a_body_is_an_order_or_refused(body in bytes()) {
        checks::body(&body);
    }

    #[test]
    fn a_limit_is_a_number_of_rows_or_refused(text in "[0-9+-]{0,30}|(?s).{0,20}|x{9000}") {
        checks::limit(&text);
    }

    #[test]
    fn the_seeds_of_the_fuzzer_hold(data in vec(any::<u8>(), 0..300)) {
        checks::record(&data);
        checks::event(&data);
        checks::content(&data);
    }
}
