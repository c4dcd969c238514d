#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum OrderEvent {
    #[event(name = "OrderCreated")]
    Created { customer_id: String },
    #[event(name = "OrderCreated")]
    Made { customer_id: String },
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum StockEvent {
    #[event(name = "")]
    Stocked { sku: String },
}

fn main() {}
