//! JSON as it stands in lock files: one form for one value, and lines short enough that a change is seen in a diff.

use serde_json::{Map, Value};
use std::fmt::Write as _;

/// What fits on a line stays on it.
const LINE_CHARS: usize = 100;

/// The text of a JSON value, with a line feed at its end.
pub(super) fn text(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text.push('\n');
    text
}

fn write(value: &Value, indent: usize, text: &mut String) {
    let line = on_a_line(value);
    let column = text.len() - text.rfind('\n').map_or(0, |at| at + 1);
    if column + line.chars().count() <= LINE_CHARS {
        text.push_str(&line);
        return;
    }
    let inner = indent + 2;
    match value {
        Value::Object(object) => {
            text.push('{');
            for (at, (key, value)) in sorted(object).into_iter().enumerate() {
                begin(at, inner, text);
                let _ = write!(text, "{}: ", Value::from(key.as_str()));
                write(value, inner, text);
            }
            let _ = write!(text, "\n{:indent$}}}", "");
        }
        Value::Array(list) => {
            text.push('[');
            for (at, value) in list.iter().enumerate() {
                begin(at, inner, text);
                write(value, inner, text);
            }
            let _ = write!(text, "\n{:indent$}]", "");
        }
        _ => text.push_str(&line),
    }
}

/// In the order of their keys, also where another crate has serde_json keep the order of insertion.
fn sorted(object: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = object.iter().collect();
    fields.sort_by_key(|(key, _)| *key);
    fields
}

fn begin(at: usize, indent: usize, text: &mut String) {
    let comma = if at == 0 { "" } else { "," };
    let _ = write!(text, "{comma}\n{:indent$}", "");
}

fn on_a_line(value: &Value) -> String {
    match value {
        Value::Object(object) if !object.is_empty() => {
            let fields = sorted(object)
                .into_iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), on_a_line(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(on_a_line).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Fails without the sorting where serde_json keeps the order of insertion: `--features serde_json/preserve_order`.
    #[test]
    fn keys_are_in_order_on_one_line_and_on_several() {
        let value: Value = serde_json::from_str(r#"{"b":1,"a":{"d":2,"c":3}}"#).unwrap();
        assert_eq!(text(&value), "{ \"a\": { \"c\": 3, \"d\": 2 }, \"b\": 1 }\n");
        let long = "x".repeat(LINE_CHARS);
        let value: Value = serde_json::from_str(&format!(r#"{{"b":"{long}","a":1}}"#)).unwrap();
        assert_eq!(text(&value), format!("{{\n  \"a\": 1,\n  \"b\": \"{long}\"\n}}\n"));
    }

    #[test]
    fn what_fits_on_a_line_stays_on_it_and_the_value_is_the_same() {
        let value =
            json!({ "short": [1, { "a": "ä\n" }], "long": vec!["a text of some length"; 6], "empty": {} });
        let written = text(&value);
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value);
        assert!(written.contains("\"short\": [1, { \"a\": \"ä\\n\" }]"), "{written}");
        assert!(written.lines().all(|line| line.len() <= LINE_CHARS + 8), "{written}");
    }
}
