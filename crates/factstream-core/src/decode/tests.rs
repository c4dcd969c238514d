//! Lifting, renaming and dropping of events.

use super::*;
use crate as factstream;
use crate::event::EventType;
use factstream_macros::Event;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

#[derive(Debug, PartialEq, Event, Serialize, Deserialize)]
enum Customer {
    #[event(name = "CustomerAdded", version = 3)]
    Added { first: String, last: String, country: String },
}

fn split_name(mut event: Value) -> Result<Value, UpcastFailure> {
    let name = event["name"].as_str().ok_or("no name")?.to_owned();
    let (first, last) = name.split_once(' ').unwrap_or((&name, ""));
    event["first"] = json!(first);
    event["last"] = json!(last);
    Ok(event)
}

#[expect(clippy::unnecessary_wraps, reason = "an upcaster may fail")]
fn add_country(mut event: Value) -> Result<Value, UpcastFailure> {
    event["country"] = json!("AT");
    Ok(event)
}

fn both() -> Upcasters {
    Upcasters::new().step("CustomerAdded", 1, 2, split_name).step("CustomerAdded", 2, 3, add_country)
}

fn refused(upcasters: &Upcasters) -> String {
    upcasters.decoder(Customer::event_types()).expect_err("refused").to_string()
}

#[test]
fn old_versions_are_lifted_one_step_at_a_time() {
    let decoder = both().decoder(Customer::event_types()).unwrap();
    let wanted = Customer::Added { first: "Ada".into(), last: "Byron".into(), country: "AT".into() };
    let from_1: Customer = decoder.decode("CustomerAdded", 1, r#"{"name":"Ada Byron"}"#).unwrap();
    let from_2: Customer = decoder.decode("CustomerAdded", 2, r#"{"first":"Ada","last":"Byron"}"#).unwrap();
    let from_3: Customer =
        decoder.decode("CustomerAdded", 3, r#"{"first":"Ada","last":"Byron","country":"AT"}"#).unwrap();
    assert_eq!((&from_1, &from_2, &from_3), (&wanted, &wanted, &wanted));
}

#[test]
fn an_upcaster_keeps_the_digits_of_what_it_moves() {
    #[derive(Debug, Event, Serialize, Deserialize)]
    enum Meter {
        #[event(name = "MeterRead", version = 2)]
        Read { value: u128, exact: Box<RawValue>, limit: u64 },
    }

    let upcasters = Upcasters::new().step("MeterRead", 1, 2, |mut event| {
        event["exact"] = event["fine"].take();
        event["value"] = event["large"].take();
        Ok(event)
    });
    let decoder = upcasters.decoder(Meter::event_types()).unwrap();
    let json = r#"{"large":340282366920938463463374607431768211455,"fine":0.12345678901234567890123,"limit":18446744073709551615}"#;
    let Meter::Read { value, exact, limit } = decoder.decode("MeterRead", 1, json).unwrap();
    assert_eq!((value, exact.get(), limit), (u128::MAX, "0.12345678901234567890123", u64::MAX));
}

#[test]
fn a_missing_step_a_cycle_a_jump_and_a_duplicate_are_refused_by_name() {
    let missing = refused(&Upcasters::new().step("CustomerAdded", 1, 2, split_name));
    assert!(missing.contains("CustomerAdded") && missing.contains("from version 2 to 3"), "{missing}");
    let cycle = refused(&both().step("CustomerAdded", 2, 1, Ok));
    assert!(cycle.contains("from version 2 to 1 makes a cycle"), "{cycle}");
    let jump = refused(&both().step("CustomerAdded", 1, 3, Ok));
    assert!(jump.contains("jumps from version 1 to 3"), "{jump}");
    let duplicate = refused(&both().step("CustomerAdded", 1, 2, Ok));
    assert!(duplicate.contains("two upcasters from version 1 to 2"), "{duplicate}");
    let unknown = refused(&both().step("CustomerAded", 1, 2, Ok));
    assert!(unknown.contains("CustomerAded"), "{unknown}");
    let beyond = refused(&both().step("CustomerAdded", 3, 4, Ok));
    assert!(beyond.contains("outside its declared versions 1 to 3"), "{beyond}");
}

#[test]
fn what_cannot_be_decoded_says_why() {
    let decoder = both().decoder(Customer::event_types()).unwrap();
    let decode = |name: &str, version, json: &str| {
        decoder.decode::<Customer>(name, version, json).expect_err("undecodable").to_string()
    };
    assert!(decode("CustomerLost", 1, "{}").contains("does not know the event type \"CustomerLost\""));
    assert!(decode("CustomerAdded", 4, "{}").contains("versions 1 to 3, not 4"));
    assert!(decode("CustomerAdded", 1, "{}").contains("from version 1 to 2 failed: no name"));
    assert!(decode("CustomerAdded", 3, "{").contains("does not fit its type"));
}

#[test]
fn an_upcaster_is_given_objects_only_and_its_panic_is_a_refusal() {
    let upcasters = Upcasters::new().step("CustomerAdded", 1, 2, |mut event| {
        event["name"]["first"] = json!("Ada");
        Ok(event)
    });
    let decoder =
        upcasters.step("CustomerAdded", 2, 3, add_country).decoder(Customer::event_types()).unwrap();
    for (json, reason) in [
        (r#""Jane Doe""#, "version 1 does not fit its type: invalid type: string, expected a map"),
        ("[]", "version 1 does not fit its type: invalid type: sequence, expected a map"),
        (
            r#"{"name":"Jane Doe"}"#,
            "from version 1 to 2 failed: it panicked; standard error has the panic's message",
        ),
    ] {
        let told = decoder.decode::<Customer>("CustomerAdded", 1, json).expect_err("undecodable").to_string();
        assert!(told.contains(reason), "{told}");
        assert!(!told.contains("Jane"), "{told}");
    }
}

#[test]
fn two_declarations_of_one_name_must_agree() {
    let other = EventType::new("CustomerAdded").at_version(2);
    let types = Customer::event_types().into_iter().chain([&other]);
    let error = both().decoder(types).expect_err("refused");
    assert!(matches!(error, WiringError::TwoVersions { one: 3, other: 2, .. }));
}

mod renamed {
    use super::*;

    /// It was `OrderCreated` in version 1, and `OrderOpened` in version 2.
    #[derive(Debug, PartialEq, Event, Serialize, Deserialize)]
    enum Order {
        #[event(name = "OrderPlaced", was = ["OrderCreated", "OrderOpened"], version = 3)]
        Placed { at: String, by: String, customer: String },
        #[event(name = "OrderClosed", retired)]
        Closed,
    }

    fn upcasters() -> Upcasters {
        let steps = Upcasters::new().step_with_origin("OrderCreated", 1, 2, |mut event, origin| {
            event["at"] = json!(origin.timestamp);
            event["by"] = json!(origin.source);
            Ok(event)
        });
        steps.step("OrderPlaced", 2, 3, |mut event| {
            event["customer"] = event["who"].take();
            Ok(event)
        })
    }

    fn recorded(event_type: &str, schema_version: u32, data: &str) -> RecordedEvent {
        RecordedEvent {
            position: 1,
            aggregate_type: "order".into(),
            aggregate_id: "o-1".into(),
            version: 1,
            event_id: uuid::Uuid::from_u128(7),
            event_type: event_type.into(),
            schema_version,
            data: data.into(),
            metadata: r#"{"source":"shop"}"#.into(),
            timestamp: "2026-02-03T04:05:06Z".parse().unwrap(),
        }
    }

    #[test]
    fn an_event_is_read_by_every_name_that_it_ever_had_and_upcasters_see_where_it_comes_from() {
        let decoder = upcasters().decoder(Order::event_types()).unwrap();
        let of = |event: &RecordedEvent| decoder.decode_recorded::<Order>(event).unwrap();
        let placed =
            |at: &str, by: &str| Order::Placed { at: at.into(), by: by.into(), customer: "c".into() };
        let first = of(&recorded("OrderCreated", 1, r#"{"who":"c"}"#));
        assert_eq!(first, placed("2026-02-03T04:05:06Z", "shop"));
        let second = of(&recorded("OrderOpened", 2, r#"{"who":"c","at":"noon","by":"web"}"#));
        assert_eq!(second, placed("noon", "web"));
        let third = of(&recorded("OrderPlaced", 3, r#"{"customer":"c","at":"noon","by":"web"}"#));
        assert_eq!(third, placed("noon", "web"));
        assert_eq!(of(&recorded("OrderClosed", 1, "{}")), Order::Closed);
        assert!(Order::event_types()[1].retired);
    }

    #[test]
    fn a_former_name_that_somebody_still_declares_is_refused() {
        let refused = |other: EventType| {
            let types = Order::event_types().into_iter().chain([&other]);
            upcasters().decoder(types).expect_err("refused").to_string()
        };
        let still = refused(EventType::new("OrderOpened").declared_by("old::Facts"));
        assert!(
            still.contains("OrderOpened") && still.contains("OrderPlaced") && still.contains("old::Facts"),
            "{still}"
        );
        let both = refused(EventType::new("Other").was(&["OrderCreated"]).declared_by("other::Facts"));
        assert!(both.contains("OrderCreated") && both.contains("other::Facts"), "{both}");
        let without = refused(EventType::new("OrderPlaced").at_version(3).declared_by("old::Facts"));
        assert!(without.contains("was = [") && without.contains("old::Facts"), "{without}");
    }

    #[test]
    fn a_dropped_type_is_known_as_such_and_declared_nowhere() {
        let decoder = upcasters().drop("OrderNoted").decoder(Order::event_types()).unwrap();
        assert!(decoder.drops("OrderNoted") && !decoder.drops("OrderPlaced"));
        let error = upcasters().drop("OrderCreated").decoder(Order::event_types()).expect_err("refused");
        assert!(error.to_string().contains("retired"), "{error}");
    }
}
