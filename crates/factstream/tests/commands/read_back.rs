//! Events whose JSON cannot be read back: refused before they are stored.

use crate::common::{Refused, Shop};
use factstream::{Aggregate, Command, Error, Event, ExecuteError, Shape};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Ways to write an event that cannot be read back, or is not what was meant.
#[derive(Event, Serialize, Deserialize, Debug, Clone, PartialEq)]
enum Odd {
    #[event(name = "Measured")]
    Measured { value: f64 },
    #[event(name = "MaybeMeasured")]
    Maybe { value: Option<f32> },
    #[event(name = "ManyMeasured")]
    Many(Many),
    #[event(name = "Skipped")]
    Skipped {
        #[serde(skip_serializing_if = "String::is_empty")]
        text: String,
    },
    #[event(name = "Renamed")]
    Renamed {
        #[serde(rename(serialize = "there", deserialize = "back"))]
        text: String,
    },
    #[event(name = "Formatted")]
    Formatted {
        #[serde(serialize_with = "as_text")]
        #[shape(as = "u64")]
        number: u64,
    },
    #[event(name = "Wide")]
    Wide { number: i128 },
    #[event(name = "Unruly")]
    Unruly { either: Either },
    #[event(name = "Keyed")]
    Keyed { map: BTreeMap<(u8, u8), u8> },
    #[event(name = "Trimmed")]
    Trimmed {
        #[serde(deserialize_with = "trimmed")]
        #[shape(as = "String")]
        text: String,
    },
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Shape)]
struct Many {
    values: Vec<f64>,
    #[serde(flatten)]
    rest: BTreeMap<String, f64>,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Shape)]
#[serde(untagged)]
enum Either {
    Wide { number: u128 },
    Bytes([u8; 2]),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn as_text<S: serde::Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

fn trimmed<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(String::deserialize(deserializer)?.trim().to_owned())
}

#[derive(Default, Clone, Debug, PartialEq)]
struct Oddities(Vec<Odd>);

impl Aggregate for Oddities {
    const TYPE: &'static str = "oddities";
    type Event = Odd;

    fn apply(&mut self, event: &Odd) {
        self.0.push(event.clone());
    }
}

struct Record(Odd);

impl Command<Oddities> for Record {
    type Error = Refused;

    fn decide(&self, _: &Oddities) -> Result<Vec<Odd>, Refused> {
        Ok(vec![self.0.clone()])
    }
}

#[tokio::test]
async fn what_cannot_be_read_back_is_refused_before_it_is_stored() {
    let shop = Shop::new();
    let app = shop.open().await;
    let rest = |value| BTreeMap::from([("more".to_owned(), value)]);
    let refused = [
        Odd::Measured { value: f64::NAN },
        Odd::Measured { value: f64::NEG_INFINITY },
        Odd::Maybe { value: Some(f32::INFINITY) },
        Odd::Many(Many { values: vec![1.0, f64::NAN], rest: rest(1.0) }),
        Odd::Many(Many { values: vec![], rest: rest(f64::NAN) }),
        Odd::Skipped { text: String::new() },
        Odd::Renamed { text: "a".into() },
        Odd::Formatted { number: 1 },
        Odd::Unruly { either: Either::Wide { number: u128::MAX } },
        Odd::Keyed { map: BTreeMap::from([((1, 2), 3)]) },
    ];
    for event in refused {
        let error = app.execute("odd", Record(event.clone())).key_for("k", &()).await.unwrap_err();
        let told = matches!(error, ExecuteError::Failed(Error::NotReadBack { .. } | Error::Encode { .. }));
        assert!(told, "{event:?}: {error}");
        let mut tx = app.begin().await.unwrap();
        tx.append::<Oddities>("odd", std::slice::from_ref(&event)).await.unwrap_err();
        tx.command::<Oddities, _>("odd", Record(event)).await.unwrap_err();
    }
    assert_eq!(app.head().await.unwrap(), 0);
    let taken = [
        Odd::Measured { value: 0.1 + 0.2 },
        Odd::Maybe { value: None },
        Odd::Many(Many { values: vec![f64::MIN_POSITIVE], rest: rest(1e300) }),
        Odd::Skipped { text: "null".into() },
        Odd::Wide { number: i128::MIN },
        Odd::Unruly { either: Either::Bytes([1, 2]) },
        Odd::Trimmed { text: " a ".into() },
    ];
    for event in taken {
        app.execute("odd", Record(event.clone())).await.unwrap_or_else(|error| panic!("{event:?}: {error}"));
    }
    // The state in memory is the one that the store gives back.
    let (in_memory, _) = app.load::<Oddities>("odd").await.unwrap();
    drop(app);
    let app = shop.open().await;
    assert_eq!(app.load::<Oddities>("odd").await.unwrap(), (in_memory, 7));
}
