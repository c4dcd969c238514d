//! The event's own fields of a published value, as they were recorded.
//!
//! Publishing puts `aggregate_id` before the fields of an event. What a handler is given has to be what was recorded, also for types
//! that are particular about their fields: a flattened map would hold one more, a type that denies unknown fields would refuse it,
//! and one with an `aggregate_id` of its own would find two.

/// The object without the `aggregate_id` that stands first in it and says this; `None` where that is not so.
pub(super) fn own_fields(value: &str, aggregate_id: &str) -> Option<String> {
    let rest = value.trim_start().strip_prefix('{')?.trim_start();
    let rest = rest.strip_prefix("\"aggregate_id\"")?.trim_start().strip_prefix(':')?.trim_start();
    let text = &rest[..=end_of_text(rest)?];
    if text[1..text.len() - 1] != *aggregate_id
        && !serde_json::from_str::<String>(text).is_ok_and(|id| id == aggregate_id)
    {
        return None;
    }
    let behind = rest[text.len()..].trim_start();
    let own = behind.strip_prefix(',').or_else(|| behind.starts_with('}').then_some(behind))?;
    let mut object = String::with_capacity(own.len() + 1);
    object.push('{');
    object.push_str(own);
    Some(object)
}

/// The place of the quote that ends the text which a JSON text begins with.
fn end_of_text(json: &str) -> Option<usize> {
    let bytes = json.as_bytes();
    let mut at = 1;
    if bytes.first() != Some(&b'"') {
        return None;
    }
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return Some(at),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::flat_value;
    use proptest::prelude::*;

    #[test]
    fn only_the_first_aggregate_id_is_taken_out_and_only_the_right_one() {
        let own = |value| own_fields(value, "o-1");
        assert_eq!(own(r#"{"aggregate_id":"o-1","a":1}"#).unwrap(), r#"{"a":1}"#);
        assert_eq!(own(r#" { "aggregate_id" : "o-1" , "a":1}"#).unwrap(), r#"{ "a":1}"#);
        assert_eq!(own(r#"{"aggregate_id":"o-1","aggregate_id":"x"}"#).unwrap(), r#"{"aggregate_id":"x"}"#);
        assert_eq!(own(r#"{"aggregate_id":"o-1"}"#).unwrap(), "{}");
        for other in [
            r#"{"aggregate_id":"o-2","a":1}"#,
            r#"{"a":1,"aggregate_id":"o-1"}"#,
            "{}",
            "",
            "[1]",
            r#"{"aggregate_id":"o-1"#,
        ] {
            assert_eq!(own(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_was_published_is_read_as_it_was_recorded(id in ".{1,20}", text in ".*", space in "[ \n]?") {
            for data in [format!("{{{space}}}"), format!("{{{space}\"a\":{}}}", serde_json::to_string(&text).unwrap())] {
                let published = flat_value(&id, &data).unwrap();
                let own = own_fields(&published, &id).unwrap();
                prop_assert_eq!(own.trim_start_matches(['{', ' ', '\n']), data.trim_start_matches(['{', ' ', '\n']));
            }
        }

        #[test]
        fn whatever_comes_in_is_looked_at_without_a_panic(value in "\\PC*", id in ".*") {
            own_fields(&value, &id);
        }
    }
}
