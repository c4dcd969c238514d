//! Putting objects and variants together as serde does: names, defaults, flattened parts, and the ways to tag a variant.

use super::node::{Alternative, Field, Node, Reading, Rest, Written};
use super::shape::{Shape, Shapes};

/// An object under construction. What the derives call.
#[derive(Debug)]
pub struct ObjectShape {
    /// One object for each way that the flattened parts leave open.
    ways: Vec<(String, Vec<Field>)>,
    rest: Rest,
}

impl ObjectShape {
    /// Without fields; unknown ones are passed over, or refused.
    pub fn new(denies_unknown: bool) -> Self {
        let rest = if denies_unknown { Rest::Denied } else { Rest::Ignored };
        Self { ways: vec![(String::new(), Vec::new())], rest }
    }

    /// A field of type `T`. An empty `read` means that it is read as `name` only.
    pub fn field<T: Shape + ?Sized>(
        self,
        shapes: &mut Shapes,
        name: &str,
        read: &[&str],
        written: Written,
        reading: Reading,
    ) -> Self {
        let reading = match reading {
            Reading::Required if T::ABSENT_OK => Reading::Optional,
            reading => reading,
        };
        self.of_shape(T::shape(shapes), name, read, written, reading)
    }

    /// A field of this shape.
    pub fn of_shape(
        mut self,
        is: Node,
        name: &str,
        read: &[&str],
        written: Written,
        reading: Reading,
    ) -> Self {
        let field = Field { name: name.into(), read: keys(name, read), is, written, reading };
        self.ways.iter_mut().for_each(|(_, fields)| fields.push(field.clone()));
        self
    }

    /// The fields of a flattened part.
    pub fn flatten(mut self, part: Node, shapes: &Shapes) -> Self {
        match shapes.resolved(part) {
            Node::Object { fields, rest } => {
                self.ways.iter_mut().for_each(|(_, own)| own.extend(fields.iter().cloned()));
                if let Rest::Kept(values) = rest {
                    self.keep(*values);
                }
            }
            Node::Map { values, .. } => self.keep(*values),
            // Read as `None` where its fields do not fit, whatever the reason.
            Node::Nullable { of } => {
                let mut part = Self::new(false).flatten(*of, shapes);
                part.ways.iter_mut().flat_map(|(_, fields)| fields).for_each(make_optional);
                self.join(part);
            }
            Node::OneOf { of } => {
                let ways = of.into_iter().flat_map(|alternative| {
                    let part = Self::new(false).flatten(alternative.is, shapes);
                    part.ways.into_iter().map(move |(_, fields)| (alternative.name.clone(), fields))
                });
                self.join(Self { ways: ways.collect(), rest: Rest::Ignored });
            }
            Node::Null => {}
            _ => self.keep(Node::Any),
        }
        self
    }

    /// As [`ObjectShape::flatten`], of a part that is not always written.
    pub fn flatten_sometimes(self, part: Node, shapes: &Shapes) -> Self {
        let own = self.ways.first().map_or(0, |(_, fields)| fields.len());
        let mut whole = self.flatten(part, shapes);
        for (_, fields) in &mut whole.ways {
            for field in fields.iter_mut().skip(own).filter(|field| field.written == Written::Always) {
                field.written = Written::Sometimes;
            }
        }
        whole
    }

    fn keep(&mut self, values: Node) {
        self.rest = Rest::Kept(Box::new(values));
    }

    fn join(&mut self, part: Self) {
        let joined = self.ways.iter().flat_map(|(name, own)| {
            part.ways.iter().map(move |(of, fields)| {
                let name = if name.is_empty() { of.clone() } else { format!("{name}+{of}") };
                (name, own.iter().chain(fields).cloned().collect())
            })
        });
        self.ways = joined.collect();
        if let Rest::Kept(values) = part.rest {
            self.keep(*values);
        }
    }

    /// The object.
    pub fn build(self) -> Node {
        let Self { mut ways, rest } = self;
        if ways.len() == 1 {
            return Node::Object { fields: ways.remove(0).1, rest };
        }
        let alternative = |(name, fields)| Alternative {
            name,
            is: Node::Object { fields, rest: rest.clone() },
            never_written: false,
            never_read: false,
        };
        Node::OneOf { of: ways.into_iter().map(alternative).collect() }
    }
}

fn make_optional(field: &mut Field) {
    if field.reading == Reading::Required {
        field.reading = Reading::Optional;
    }
    if field.written == Written::Always {
        field.written = Written::Sometimes;
    }
}

/// The keys that are read; empty when that is just the one that is written.
fn keys(name: &str, read: &[&str]) -> Vec<String> {
    match read {
        [only] if *only == name => Vec::new(),
        read => read.iter().map(|key| (*key).to_owned()).collect(),
    }
}

/// How an enum's variants are told apart.
#[derive(Debug, Clone, Copy)]
pub enum Tagging<'a> {
    /// `{"Variant": content}`, serde's default.
    External,
    /// A field among the variant's own.
    Internal(&'a str),
    /// A field for the name and one for the content.
    Adjacent {
        /// The name's.
        tag: &'a str,
        /// The content's.
        content: &'a str,
        /// Whether other fields are refused.
        denies_unknown: bool,
    },
}

fn word(name: &str, read: &[&str]) -> Node {
    Node::Word { written: name.into(), read: keys(name, read), other: false }
}

fn alternative(name: &str, is: Node) -> Alternative {
    Alternative { name: name.into(), is, never_written: false, never_read: false }
}

fn tag_field(tag: &str, name: &str, read: &[&str]) -> Field {
    Field {
        name: tag.into(),
        read: Vec::new(),
        is: word(name, read),
        written: Written::Always,
        reading: Reading::Required,
    }
}

/// A variant of an externally tagged enum; `None` is a unit variant.
pub(super) fn external(name: &str, read: &[&str], content: Option<Node>) -> Alternative {
    let Some(content) = content else { return alternative(name, word(name, read)) };
    let object = ObjectShape::new(true).of_shape(content, name, read, Written::Always, Reading::Required);
    alternative(name, object.build())
}

/// A variant of an internally tagged enum; its content's fields stand beside the tag.
fn internal(tag: &str, name: &str, read: &[&str], content: Option<Node>, shapes: &Shapes) -> Alternative {
    let denies = matches!(&content, Some(Node::Object { rest: Rest::Denied, .. }));
    let mut object = ObjectShape::new(denies);
    object.ways[0].1.push(tag_field(tag, name, read));
    let whole = match content {
        Some(content) => object.flatten(content, shapes),
        None => object,
    };
    alternative(name, whole.build())
}

/// A variant of an adjacently tagged enum.
fn adjacent(
    tag: &str,
    content_key: &str,
    denies_unknown: bool,
    name: &str,
    read: &[&str],
    content: Option<Node>,
) -> Alternative {
    let mut object = ObjectShape::new(denies_unknown);
    object.ways[0].1.push(tag_field(tag, name, read));
    let (content, written, reading) = match content {
        Some(content) => {
            let reading =
                if matches!(content, Node::Nullable { .. }) { Reading::Optional } else { Reading::Required };
            (content, Written::Always, reading)
        }
        None => (Node::Null, Written::Never, Reading::Optional),
    };
    alternative(name, object.of_shape(content, content_key, &[], written, reading).build())
}

impl Tagging<'_> {
    /// A variant of an enum that is tagged so.
    pub fn variant(self, name: &str, read: &[&str], content: Option<Node>, shapes: &Shapes) -> Alternative {
        match self {
            Self::External => external(name, read, content),
            Self::Internal(tag) => internal(tag, name, read, content, shapes),
            Self::Adjacent { tag, content: key, denies_unknown } => {
                adjacent(tag, key, denies_unknown, name, read, content)
            }
        }
    }
}

impl Alternative {
    /// A variant of an untagged enum.
    pub fn untagged(name: &str, content: Option<Node>) -> Self {
        alternative(name, content.unwrap_or(Node::Null))
    }

    /// Reads every unknown name as this one (`serde(other)`).
    pub fn for_others(mut self) -> Self {
        match &mut self.is {
            Node::Word { other, .. } => *other = true,
            Node::Object { fields, .. } => {
                if let Some(Field { is: Node::Word { other, .. }, .. }) = fields.first_mut() {
                    *other = true;
                }
            }
            _ => {}
        }
        self
    }

    /// Only read (`serde(skip_serializing)`).
    pub fn only_read(mut self) -> Self {
        self.never_written = true;
        self
    }

    /// Only written (`serde(skip_deserializing)`).
    pub fn only_written(mut self) -> Self {
        self.never_read = true;
        self
    }
}
