//! The form in lock files lasts for ever: what stands here must stay readable, and written as it is.

use super::catalogue::all;
use crate::schema::Schema;

#[test]
fn a_schema_survives_its_own_form() {
    for of in all() {
        let json = serde_json::to_string(&of.schema).unwrap();
        assert_eq!(serde_json::from_str::<Schema>(&json).unwrap(), of.schema, "{}", of.name);
    }
}

/// Written by the first release that had schemas.
const FIRST: &str = r#"{"shape":{"type":"object","fields":[
  {"name":"sku","is":{"type":"string"}},
  {"name":"quantity","read":["quantity","count"],"is":{"type":"integer","min":"-1","max":"340282366920938463463374607431768211455"},"written":"sometimes","reading":"optional"},
  {"name":"id","is":{"type":"string","format":"uuid"},"written":"unless_null","reading":"never"},
  {"name":"kind","is":{"type":"one_of","of":[{"name":"A","is":{"type":"word","written":"A"}},{"name":"B","is":{"type":"word","written":"B","read":["B","b"],"other":true},"never_written":true,"never_read":true}]}},
  {"name":"list","is":{"type":"array","items":{"type":"tuple","items":[{"type":"bool"},{"type":"float","bits":64}]},"min":2,"max":2}},
  {"name":"map","is":{"type":"map","keys":{"type":"string"},"values":{"type":"nullable","of":{"type":"ref","to":"Tree"}}}},
  {"name":"rest","is":{"type":"object","fields":[{"name":"n","is":{"type":"integer","min":"-9","max":"9","nonzero":true}}],"rest":"denied"}},
  {"name":"kept","is":{"type":"object","fields":[],"rest":{"kept":{"type":"any"}}}}
]},"types":{"Tree":{"type":"null"}}}"#;

#[test]
fn the_first_form_is_read_and_written_to_the_letter() {
    let schema: Schema = serde_json::from_str(FIRST).unwrap();
    assert_eq!(serde_json::to_string(&schema).unwrap(), FIRST.replace("\n  ", "").replace('\n', ""));
}

#[test]
fn what_a_newer_form_adds_is_refused_and_not_half_understood() {
    for newer in [
        r#"{"shape":{"type":"ternary"}}"#,
        r#"{"shape":{"type":"integer","min":"0","max":"1","step":"2"}}"#,
        r#"{"shape":{"type":"any"},"more":1}"#,
        r#"{"shape":{"type":"object","fields":[{"name":"a","is":{"type":"any"},"since":2}]}}"#,
    ] {
        assert!(serde_json::from_str::<Schema>(newer).is_err(), "{newer}");
    }
}
