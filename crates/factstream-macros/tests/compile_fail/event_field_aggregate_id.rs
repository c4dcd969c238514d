#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum OrderEvent {
    Created { aggregate_id: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum StockEvent {
    Stocked {
        #[serde(rename = "aggregate_id")]
        sku: String,
    },
}

fn main() {}
