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

fn main() {}
