#[allow(unused_imports)]
use factstream_core as factstream;
use factstream_macros::{Event, Shape};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Unknown;

#[derive(Event, Serialize, Deserialize)]
enum OrderEvent {
    Created { item: Unknown },
}

#[derive(Shape)]
struct With {
    #[serde(with = "as_text")]
    number: u64,
}

#[derive(Shape)]
#[serde(try_from = "String")]
struct Checked(String);

#[derive(Shape)]
#[serde(into = "String")]
struct OneWay(String);

#[derive(Shape)]
struct Pair(u8, #[serde(default)] u8);

#[derive(Shape)]
struct Said {
    #[shape(of = "String")]
    number: u64,
}

fn main() {}
