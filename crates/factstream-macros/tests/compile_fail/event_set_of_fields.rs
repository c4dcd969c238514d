#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum OrderEvent {
    Created { customer_id: String },
}

#[derive(factstream_macros::EventSet)]
enum Facts {
    Order { event: OrderEvent },
}

fn main() {}
