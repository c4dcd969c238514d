#[allow(unused_imports)]
use factstream_core as factstream;

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

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "events")]
struct OurEvents {
    #[column(key)]
    id: String,
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(name = "rows")]
struct Unknown {
    #[column(key)]
    id: String,
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "rows")]
enum Row {
    Order { id: String },
}

fn main() {}
