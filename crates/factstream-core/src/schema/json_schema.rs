//! JSON Schema (draft 2020-12) of what is written or read, for tools and other teams.

use super::node::{Bound, Field, Node, Reading, Rest, Schema, Written};
use super::sample::Contract;
use serde_json::{Map, Value, json};

/// The schema in the words of JSON Schema 2020-12.
///
/// ```
/// use factstream_core::schema::{Contract, Schema, json_schema};
///
/// let schema = json_schema(&Schema::of::<Vec<u8>>(), Contract::Write);
/// assert_eq!(schema["items"]["maximum"], 255);
/// ```
pub fn json_schema(schema: &Schema, contract: Contract) -> Value {
    let mut whole = of(&schema.shape, contract);
    if let Value::Object(object) = &mut whole {
        object.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        if !schema.types.is_empty() {
            let types = schema.types.iter().map(|(name, node)| (name.clone(), of(node, contract)));
            object.insert("$defs".into(), Value::Object(types.collect()));
        }
    }
    whole
}

fn of(node: &Node, contract: Contract) -> Value {
    match node {
        Node::Any => json!({}),
        Node::Null => json!({ "type": "null" }),
        Node::Bool => json!({ "type": "boolean" }),
        Node::Integer { min, max, nonzero } => {
            let mut integer = json!({ "type": "integer", "minimum": number(*min), "maximum": number(*max) });
            if *nonzero {
                integer["not"] = json!({ "const": 0 });
            }
            integer
        }
        Node::Float { .. } => json!({ "type": "number" }),
        Node::String { format: None } => json!({ "type": "string" }),
        Node::String { format: Some(format) } => string(format),
        Node::Word { other: true, .. } if contract == Contract::Read => json!({ "type": "string" }),
        Node::Word { written, read, .. } => match contract {
            Contract::Read if !read.is_empty() => json!({ "enum": read }),
            Contract::Read | Contract::Write => json!({ "const": written }),
        },
        Node::Nullable { of: inner } => json!({ "anyOf": [{ "type": "null" }, of(inner, contract)] }),
        Node::Array { items, min, max } => {
            let mut list = json!({ "type": "array", "items": of(items, contract) });
            if *min > 0 {
                list["minItems"] = json!(min);
            }
            if let Some(max) = max {
                list["maxItems"] = json!(max);
            }
            list
        }
        Node::Tuple { items } => {
            let parts: Vec<Value> = items.iter().map(|item| of(item, contract)).collect();
            json!({ "type": "array", "prefixItems": parts, "items": false, "minItems": items.len() })
        }
        Node::Map { keys, values } => match keys.as_ref() {
            Node::String { format: None } => {
                json!({ "type": "object", "additionalProperties": of(values, contract) })
            }
            // Keys are texts, whatever they are read as.
            Node::String { .. } | Node::Word { .. } | Node::OneOf { .. } => json!({
                "type": "object", "propertyNames": of(keys, contract), "additionalProperties": of(values, contract)
            }),
            _ => json!({ "type": "object", "additionalProperties": of(values, contract) }),
        },
        Node::Object { fields, rest } => object(fields, rest, contract),
        Node::OneOf { of: variants } => {
            let variants = variants.iter().filter(|variant| match contract {
                Contract::Write => !variant.never_written,
                Contract::Read => !variant.never_read,
            });
            let variants: Vec<Value> = variants.map(|variant| of(&variant.is, contract)).collect();
            json!({ "anyOf": variants })
        }
        Node::Ref { to } => {
            json!({ "$ref": format!("#/$defs/{}", to.replace('~', "~0").replace('/', "~1")) })
        }
    }
}

fn object(fields: &[Field], rest: &Rest, contract: Contract) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        match contract {
            Contract::Write if field.written != Written::Never => {
                properties.insert(field.name.clone(), of(field.value_written(), contract));
                if field.written == Written::Always {
                    required.push(field.name.clone());
                }
            }
            Contract::Read if field.reading != Reading::Never => {
                for key in field.keys_read() {
                    properties.insert(key.to_owned(), of(&field.is, contract));
                }
                // One that is read under several names is needed under one of them, which is not said here.
                if field.reading == Reading::Required && field.read.len() <= 1 {
                    required.extend(field.keys_read().map(str::to_owned));
                }
            }
            Contract::Write | Contract::Read => {}
        }
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    match rest {
        Rest::Ignored => {}
        Rest::Denied => object["additionalProperties"] = json!(false),
        Rest::Kept(values) => object["additionalProperties"] = of(values, contract),
    }
    object
}

fn string(format: &str) -> Value {
    match format {
        "timestamp" => json!({ "type": "string", "format": "date-time" }),
        "char" => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        "uuid" | "date" | "ipv4" | "ipv6" => json!({ "type": "string", "format": format }),
        // What JSON Schema has no word for is named, and not checked.
        _ => json!({ "type": "string", "$comment": format!("format {format}") }),
    }
}

/// As JSON; a bound that JSON numbers of serde do not hold is left to the nearest.
fn number(bound: Bound) -> Value {
    match bound {
        Bound::Negative(number) => i64::try_from(number).map_or(json!(number as f64), Value::from),
        Bound::Natural(number) => u64::try_from(number).map_or(json!(number as f64), Value::from),
    }
}
