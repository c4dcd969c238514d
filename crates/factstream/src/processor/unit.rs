//! In whose order a handler takes events, and what a failure holds up: a key; with causal order, a key within its topic. What comes to a
//! process by an alias that nobody has is held up by that alias.
//!
//! Causes order what crosses topics. Were a key one queue for all topics, an effect could wait in it for a cause that is parked behind it, or
//! several keys for each other in a circle. Within a topic causes come before their effects, so its order never contradicts theirs.
//!
//! Invariant: at most one of the two queues has events of a key and topic, whatever builds came one after the other: an event goes behind
//! what its topic has waiting, else behind what its key has, and only begins the kind of queue that its own build knows.

/// Between a topic, which has no such character, and a key.
const SEPARATOR: char = '\u{1f}';

/// Finds the units that are a key within a topic.
pub(super) const WITHIN_ANY: &str = "%\u{1f}%";

/// The key within the topic.
pub(super) fn within(topic: &str, key: &str) -> String {
    format!("{topic}{SEPARATOR}{key}")
}

/// The key of what comes by this alias, until it is known whose it is. No id is like it.
pub(crate) fn of_alias(alias: &str) -> String {
    within("", alias)
}

/// The alias that a key stands for.
pub(crate) fn alias_of(key: &str) -> Option<&str> {
    key.strip_prefix(SEPARATOR)
}

/// The key of a letter as people know it.
pub(crate) fn shown<'u>(unit: &'u str, topic: &str) -> &'u str {
    let key = key_of(unit, topic);
    alias_of(key).unwrap_or(key)
}

/// The key of a letter.
pub(crate) fn key_of<'u>(unit: &'u str, topic: &str) -> &'u str {
    let within = unit.strip_prefix(topic).and_then(|rest| rest.strip_prefix(SEPARATOR));
    within.unwrap_or(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_as_it_is() {
        for (unit, topic) in
            [("o-1", "orders.events"), ("", "orders.events"), ("orders.events", "orders.events")]
        {
            assert_eq!(key_of(unit, topic), unit);
            assert_eq!(key_of(&within(topic, unit), topic), unit);
        }
        let alias = of_alias("payment=p-1");
        assert_eq!((alias_of(&alias), shown(&alias, "log")), (Some("payment=p-1"), "payment=p-1"));
        assert_eq!((alias_of("payment=p-1"), shown("o-1", "log")), (None, "o-1"));
    }
}
