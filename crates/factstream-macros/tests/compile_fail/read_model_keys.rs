#[allow(unused_imports)]
use factstream_core as factstream;

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "no_key")]
struct NoKey {
    id: String,
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "null_key")]
struct NullKey {
    #[column(key)]
    id: Option<String>,
}

fn main() {}
