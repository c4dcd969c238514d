//! The default name of an event: whose event it is, and what happened.
//!
//! Invariant: a name that begins with the owner's word is taken as it is, so `OrderEvent::OrderCreated` and
//! `OrderEvent::Created` are both `OrderCreated`.

use syn::ext::IdentExt;
use syn::{Ident, LitStr};

/// What an enum of events is called beside its owner's word, the longest first.
const ENDINGS: [&str; 4] = ["Events", "Event", "Facts", "Fact"];

/// How one enum names its events.
pub(crate) struct Naming {
    owner: String,
}

impl Naming {
    pub(crate) fn of(enum_name: &Ident, prefix: Option<&LitStr>) -> Self {
        let whole = enum_name.unraw().to_string();
        let owner = ENDINGS.iter().find_map(|ending| whole.strip_suffix(ending)).unwrap_or(&whole);
        Self { owner: prefix.map_or_else(|| owner.to_owned(), LitStr::value) }
    }

    pub(crate) fn name(&self, variant: &str) -> String {
        let says_owner = variant
            .strip_prefix(&self.owner)
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_lowercase()));
        if says_owner { variant.to_owned() } else { format!("{}{variant}", self.owner) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proc_macro2::Span;

    #[test]
    fn a_name_says_whose_event_it_is_and_says_it_once() {
        let name =
            |of: &str, variant: &str| Naming::of(&Ident::new(of, Span::call_site()), None).name(variant);
        assert_eq!(name("OrderEvent", "Created"), "OrderCreated");
        assert_eq!(name("OrderEvent", "OrderCreated"), "OrderCreated");
        assert_eq!(name("OrderFacts", "Created"), "OrderCreated");
        assert_eq!(name("Order", "Ordered"), "OrderOrdered");
        assert_eq!(name("ClosedEvent", "Closed"), "Closed");
        assert_eq!(name("Event", "Created"), "Created");
        assert_eq!(name("Customer", "Added"), "CustomerAdded");
    }

    #[test]
    fn a_prefix_stands_in_the_place_of_the_owner() {
        let name = |prefix: &str| {
            let prefix = LitStr::new(prefix, Span::call_site());
            Naming::of(&Ident::new("OrderEvent", Span::call_site()), Some(&prefix)).name("Created")
        };
        assert_eq!((name(""), name("Shop")), ("Created".to_owned(), "ShopCreated".to_owned()));
    }
}
