#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

#[derive(factstream_macros::Event, Serialize, Deserialize)]
#[event(topic = "orders events")]
enum OrderEvent {
    Created { customer_id: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum StockEvent {
    #[event(private, topic = "stock")]
    Stocked { sku: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
#[event(topic = "")]
enum NoteEvent {
    Noted { text: String },
}

fn main() {}
