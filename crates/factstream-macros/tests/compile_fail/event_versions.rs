#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum OrderEvent {
    #[event(version = 0)]
    Created { customer_id: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum StockEvent {
    #[event(version = 2, since = 3)]
    Stocked { sku: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum NoteEvent {
    #[event(since = 0)]
    Noted { text: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum DoorEvent {
    #[event(since = 2)]
    Opened { by: String },
}

fn main() {}
