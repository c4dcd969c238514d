#[allow(unused_imports)]
use factstream_core as factstream;

use factstream::read_model::ReadModel;

#[derive(Clone)]
struct OrderRow;

fn table<R: ReadModel>() -> &'static str {
    R::TABLE
}

fn test() {
    table::<OrderRow>();
}

fn main() {}
