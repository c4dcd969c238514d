#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

#[derive(factstream_macros::Event, Serialize, Deserialize)]
#[serde(tag = "type")]
enum OrderEvent {
    Created { customer_id: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum StockEvent {
    Stocked { sku: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum PaymentEvent {
    #[serde(skip)]
    Processed { cents: i64 },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
#[serde(untagged)]
enum NoteEvent {
    Noted { text: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum ShipEvent {
    Shipped {
        to: String,
    },
    #[serde(other)]
    Else,
}

#[derive(factstream_macros::Event, Serialize, Deserialize, Clone)]
#[serde(from = "Wire", into = "Wire")]
enum DoorEvent {
    Opened { by: String },
}

#[derive(Serialize, Deserialize, Clone)]
struct Wire;

impl From<Wire> for DoorEvent {
    fn from(_: Wire) -> Self {
        DoorEvent::Opened { by: String::new() }
    }
}

impl From<DoorEvent> for Wire {
    fn from(_: DoorEvent) -> Self {
        Wire
    }
}

fn main() {}
