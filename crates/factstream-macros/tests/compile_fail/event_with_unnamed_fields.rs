#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum OrderEvent {
    Created(String, u32),
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum NoteEvent {
    Noted(String),
}

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum DoorEvent {
    Opened(),
}

fn main() {}
