//! The derive macros of factstream: [`Event`], [`Shape`], [`EventSet`] and [`ReadModel`]. Use them through the `factstream` crate.
//!
//! A crate that gives `factstream` another name in its Cargo.toml is understood. One that reaches it by a path of another crate
//! says so: `#[event(crate = "our::events")]`, `#[event_set(crate = "..")]`, `#[read_model(crate = "..")]`.
//!
//! Invariant: what is wrong in a declaration is found by the compiler, at the words that are wrong, with advice.

mod framework;
mod attributes;
mod serde_rules;
mod serde_attributes;
mod renaming;
mod naming;
mod shape;
mod event;
mod event_set;
mod read_model;

use proc_macro::TokenStream;

/// Makes an enum the events of an aggregate.
///
/// `#[event(topic = "..")]` or `#[event(private)]` on the enum holds for all variants; on a variant,
/// `#[event(name = "..", was = [".."], version = 1, since = 1, topic = "..", private, retired)]`. Versions count from 1, and the topic is `domain.events`
/// by default. Derive serde's `Serialize` and `Deserialize` too.
///
/// The default name says whose event it is: the enum's name without `Event`, `Events`, `Fact` or `Facts`, and then the
/// variant's. `Created` of an enum `OrderEvent` is `OrderCreated`, and so is `OrderCreated`. `#[event(prefix = "Order")]` on the enum
/// puts another word first; with `prefix = ""` the variant's name stands alone, as in factstream 0.1. A name is part of what is
/// stored: before you rename a variant or its enum, write its name out with `name = ".."`.
///
/// `version` is the schema that this build writes, `since` the oldest that may still lie in a store: upcasters lead from
/// there to `version`. A variant has named fields, none, or one unnamed field that holds a struct. No field is called
/// `aggregate_id`: factstream adds it to what it publishes.
///
/// ```
/// use factstream_core as factstream;
/// use factstream_core::event::Event as _;
/// use factstream_macros::Event;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize)]
/// #[event(topic = "orders.events")]
/// enum OrderEvent {
///     #[event(name = "OrderCreated", version = 1)]
///     Created { customer_id: String },
///     #[event(name = "OrderShipped", version = 1)]
///     Shipped { tracking_number: String },
/// }
///
/// let event = OrderEvent::Shipped { tracking_number: "TN-1".into() };
/// assert_eq!(event.event_type().name, "OrderShipped");
/// ```
#[proc_macro_derive(Event, attributes(event, shape))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    expand(input, event::expand)
}

/// Makes the JSON of a type that stands in events known, so that it can be locked and compared with later ones.
///
/// Put it beside `Serialize` and `Deserialize`; it understands serde's attributes. What those hide is said by hand, on a field, a
/// variant or the type: `#[shape(as = "String")]` (its JSON is that of the named type) where `serde(with)` or `serde(try_from)`
/// stands, or a type of another crate; `#[shape(any)]` leaves it unchecked.
///
/// ```
/// use factstream_core as factstream;
/// use factstream_core::schema::{Reader, Schema, misfits};
/// use factstream_macros::Shape;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Shape)]
/// #[serde(rename_all = "camelCase")]
/// struct Address {
///     street_line: String,
///     #[serde(default)]
///     floor: Option<u8>,
/// }
///
/// let address = Schema::of::<Address>();
/// assert!(misfits(&address, &address, Reader::Factstream).is_empty());
/// ```
#[proc_macro_derive(Shape, attributes(shape, serde))]
pub fn derive_shape(input: TokenStream) -> TokenStream {
    expand(input, shape::expand)
}

/// Joins several enums of events into one set for a handler: each variant holds one of them.
///
/// ```
/// use factstream_core as factstream;
/// use factstream_core::event::EventSet as _;
/// use factstream_macros::{Event, EventSet};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize)]
/// enum OrderEvent { OrderCreated { customer_id: String } }
///
/// #[derive(Event, Serialize, Deserialize)]
/// enum PaymentEvent { PaymentProcessed { order_id: String } }
///
/// #[derive(EventSet)]
/// enum Facts { Order(OrderEvent), Payment(PaymentEvent) }
///
/// let names: Vec<_> = Facts::event_types().iter().map(|event_type| event_type.name).collect();
/// assert_eq!(names, ["OrderCreated", "PaymentProcessed"]);
/// ```
#[proc_macro_derive(EventSet, attributes(event_set))]
pub fn derive_event_set(input: TokenStream) -> TokenStream {
    expand(input, event_set::expand)
}

/// Makes a struct a row of a table.
///
/// `#[read_model(table = "..")]` names the table. `#[column(..)]` on a field: `key` (of one field or several), `index`, `json` (anything
/// with serde, as JSON text), `text` (anything with `Display` and `FromStr`), `name = ".."`. Other fields are of a type that
/// has a column type of its own; of these an `Option` may be NULL, but not the key. A key is not kept as JSON.
///
/// ```
/// use factstream_core as factstream;
/// use factstream_core::read_model::ReadModel as _;
/// use factstream_macros::ReadModel;
///
/// #[derive(ReadModel, Clone)]
/// #[read_model(table = "order_totals")]
/// struct OrderTotal {
///     #[column(key)]
///     order_id: String,
///     #[column(json)]
///     skus: Vec<String>,
///     total_cents: i64,
/// }
///
/// let row = OrderTotal { order_id: "o-1".into(), skus: vec!["SKU-1".into()], total_cents: 5 };
/// assert_eq!(row.to_row().unwrap().len(), 3);
/// ```
#[proc_macro_derive(ReadModel, attributes(read_model, column))]
pub fn derive_read_model(input: TokenStream) -> TokenStream {
    expand(input, read_model::expand)
}

fn expand(
    input: TokenStream,
    with: fn(&syn::DeriveInput) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let parsed = syn::parse(input).and_then(|input| with(&input));
    parsed.unwrap_or_else(syn::Error::into_compile_error).into()
}
