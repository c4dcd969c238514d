//! Objects and maps: which fields meet which.

use super::super::misfit::Mismatch;
use super::super::node::{Field, Node, Reading, Rest, Written};
use super::{Comparison, Reader};

/// A field as a reader sees it.
struct Wanted<'a> {
    keys: Vec<&'a str>,
    is: &'a Node,
    required: bool,
}

impl Comparison<'_> {
    pub(super) fn object(&mut self, path: &str, written: &Node, read: &Node) {
        match (written, read) {
            (Node::Object { fields, rest }, Node::Object { fields: read, rest: others }) => {
                self.fields(path, (fields, rest), (read, others));
            }
            (Node::Object { fields, rest }, Node::Map { keys, values }) => {
                for field in fields.iter().filter(|field| field.written != Written::Never) {
                    let at = join(path, &field.name);
                    let key = Node::Word { written: field.name.clone(), read: Vec::new(), other: false };
                    self.node(&at, &key, keys);
                    self.node(&at, field.value_written(), values);
                }
                if let Rest::Kept(kept) = rest {
                    self.keys(path, &Node::text(), keys);
                    self.node(&join(path, "*"), kept, values);
                }
            }
            (Node::Map { keys, values }, Node::Map { keys: read_keys, values: read }) => {
                self.keys(path, keys, read_keys);
                self.node(&join(path, "*"), values, read);
            }
            (Node::Map { values, .. }, Node::Object { fields, rest }) => {
                self.fields(path, (&[], &Rest::Kept(values.clone())), (fields, rest));
            }
            _ => {}
        }
    }

    /// Keys of maps are texts: a text takes them all.
    fn keys(&mut self, path: &str, written: &Node, read: &Node) {
        if !matches!(read, Node::String { format: None } | Node::Any) {
            self.node(&join(path, "(key)"), written, read);
        }
    }

    fn fields(&mut self, path: &str, (written, kept): (&[Field], &Rest), (read, rest): (&[Field], &Rest)) {
        let wanted: Vec<Wanted> = read.iter().filter_map(|field| self.wanted(field)).collect();
        for want in &wanted {
            self.field(path, written, kept, want);
        }
        let is_wanted = |name: &str| wanted.iter().any(|want| want.keys.contains(&name));
        let unknown =
            written.iter().filter(|field| field.written != Written::Never && !is_wanted(&field.name));
        let unknown: Vec<(&str, &Node)> =
            unknown.map(|field| (field.name.as_str(), field.value_written())).collect();
        let kept = match kept {
            Rest::Kept(values) => Some(("*", values.as_ref())),
            Rest::Ignored | Rest::Denied => None,
        };
        for (name, value) in unknown.into_iter().chain(kept) {
            match rest {
                _ if self.by == Reader::Foreign => {}
                Rest::Ignored => {}
                Rest::Denied => {
                    let text = "it is written, and the reader refuses fields that it does not know";
                    self.report(&join(path, name), Mismatch::FieldDenied, text.to_owned());
                }
                Rest::Kept(values) => self.node(&join(path, name), value, values),
            }
        }
    }

    fn wanted<'f>(&self, field: &'f Field) -> Option<Wanted<'f>> {
        match self.by {
            Reader::Factstream => (field.reading != Reading::Never).then(|| Wanted {
                keys: field.keys_read().collect(),
                is: &field.is,
                required: field.reading == Reading::Required,
            }),
            Reader::Foreign => (field.written != Written::Never).then(|| Wanted {
                keys: vec![&field.name],
                is: field.value_written(),
                required: field.written == Written::Always,
            }),
        }
    }

    fn field(&mut self, path: &str, written: &[Field], kept: &Rest, want: &Wanted<'_>) {
        let name = want.keys.first().copied().unwrap_or_default();
        let at = join(path, name);
        let found: Vec<&Field> = written
            .iter()
            .filter(|field| field.written != Written::Never && want.keys.contains(&field.name.as_str()))
            .collect();
        if let [one, other, ..] = found.as_slice() {
            let text = format!(
                "{} and {} may both be written, and are one field to the reader",
                one.name, other.name
            );
            self.report(&at, Mismatch::FieldTwice, text);
        }
        for field in &found {
            self.node(&join(path, &field.name), field.value_written(), want.is);
        }
        if let (Rest::Kept(values), true) = (kept, found.is_empty()) {
            let misfits = self.apart(|own| own.node(&at, values, want.is));
            if !misfits.is_empty() {
                let text = "keys that are data are written beside the fields, and one of this name may have any value";
                self.report(&at, Mismatch::KeysAreData, text.to_owned());
            }
        }
        let is_certain = found.iter().any(|field| field.written == Written::Always);
        if !want.required || is_certain {
            return;
        }
        if found.is_empty() {
            let text = "it is not written, and the reader needs it";
            self.report(&at, Mismatch::FieldMissing, text.to_owned());
        } else {
            let text = "it is not always written, and the reader needs it";
            self.report(&at, Mismatch::FieldSometimesMissing, text.to_owned());
        }
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
