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

#[derive(factstream_macros::EventSet)]
enum Nothing {
    Order,
}

#[derive(factstream_macros::EventSet)]
struct Joined(OrderEvent);

#[derive(factstream_macros::EventSet)]
enum Twice {
    Order(OrderEvent),
    Again(OrderEvent),
}

fn main() {}
