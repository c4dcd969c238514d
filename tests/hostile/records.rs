//! What floating-point numbers and odd records come to, by example: found by the property tests, kept as they were found.

use crate::checks;
use factstream::message::{Record, Unreadable};
use factstream::partition::Partition;

fn record(headers: &[(&str, &[u8])], value: &[u8]) -> Record {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    let partition = Partition { topic: "orders.events".into(), partition: 0 };
    Record {
        partition,
        offset: 7,
        key: Some(b"o-1".to_vec()),
        value: Some(value.to_vec()),
        headers,
        timestamp: None,
    }
}

#[test]
fn a_number_with_a_fraction_is_read_to_the_last_bit() {
    for text in
        ["0.30000000000000004", "2.2250738585072011e-308", "90100023020022051900", "1.7976931348623157e308"]
    {
        let read: f64 = serde_json::from_str(text).unwrap();
        assert_eq!(Ok(read), text.parse(), "{text}");
    }
}

#[test]
fn an_event_type_that_no_database_can_hold_is_a_reason_and_no_obstacle() {
    for bad in [&b"Order\0Created"[..], b"", &vec![b'x'; 100_000]] {
        let record = record(&[("event_type", bad)], b"{}");
        let error = record.envelope().unwrap_err();
        assert!(matches!(error, Unreadable::BadHeader { header: "event_type", .. }), "{error}");
        assert!(record.header("event_type").is_none_or(|text| !text.contains('\0')));
        checks::check_record(&record);
    }
}

#[test]
fn the_name_of_a_bad_header_is_told_as_far_as_is_useful() {
    let name = "n".repeat(500_000);
    let error = record(&[(&name, &[0xff])], b"{}").envelope().unwrap_err().to_string();
    assert!(error.len() < 1_000, "{}", error.len());
}
