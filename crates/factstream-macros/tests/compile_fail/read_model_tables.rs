#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

#[derive(factstream_macros::ReadModel, Clone)]
struct NoTable {
    #[column(key)]
    id: String,
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "fs_inbox")]
struct Ours {
    #[column(key)]
    id: String,
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "rows")]
struct Unnamed(String);

#[derive(Serialize, Deserialize, Clone)]
struct Unused;

fn main() {}
