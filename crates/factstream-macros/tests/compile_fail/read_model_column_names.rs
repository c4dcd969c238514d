#[allow(unused_imports)]
use factstream_core as factstream;

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "rows")]
struct Upper {
    #[column(key, name = "orderId")]
    id: String,
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "rows")]
struct Twins {
    #[column(key)]
    id: String,
    #[column(name = "id")]
    other: String,
}

fn main() {}
