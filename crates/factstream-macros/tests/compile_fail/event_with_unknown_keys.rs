#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

#[derive(factstream_macros::Event, Serialize, Deserialize)]
#[event(name = "Order")]
enum OrderEvent {
    Created { customer_id: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum StockEvent {
    #[event(nmae = "Stocked")]
    Stocked { sku: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum NoteEvent {
    #[event(name = "Noted", name = "Written")]
    Noted { text: String },
}

fn main() {}
