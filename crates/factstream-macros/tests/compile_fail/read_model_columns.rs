#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone)]
struct Item;

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "rows")]
struct NoColumnType {
    #[column(key)]
    id: String,
    items: Vec<Item>,
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "rows")]
struct TwoWays {
    #[column(key)]
    id: String,
    #[column(json, text)]
    items: Vec<Item>,
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "rows")]
struct Unknown {
    #[column(primary)]
    id: String,
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "rows")]
struct TextOption {
    #[column(key)]
    id: String,
    #[column(text)]
    note: Option<u8>,
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "rows")]
struct JsonKey {
    #[column(key, json)]
    id: Vec<String>,
}

fn main() {}
