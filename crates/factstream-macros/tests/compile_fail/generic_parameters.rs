#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum OrderEvent<Id> {
    Created { customer_id: Id },
}

#[derive(factstream_macros::EventSet)]
enum Facts<E> {
    Event(E),
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "rows")]
struct Row<Id> {
    #[column(key)]
    id: Id,
}

fn main() {}
