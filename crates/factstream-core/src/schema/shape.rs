//! From a type to its shape.

use super::node::{Node, Schema};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// A type whose JSON is known. Derive it beside serde's traits:
///
/// ```
/// # use factstream_core as factstream;
/// use factstream_core::schema::{Node, Schema};
/// use factstream_macros::Shape;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Shape)]
/// struct Item {
///     sku: String,
///     #[serde(default)]
///     note: Option<String>,
/// }
///
/// assert!(matches!(Schema::of::<Item>().shape, Node::Object { fields, .. } if fields.len() == 2));
/// ```
///
/// By hand, for a type that is written and read by functions of its own:
///
/// ```
/// use factstream_core::schema::{Node, Shape, Shapes};
///
/// struct Iban(String);
///
/// impl Shape for Iban {
///     fn shape(_: &mut Shapes) -> Node {
///         Node::format("iban")
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the JSON of `{Self}` is not known: it does not implement `Shape`",
    label = "this type is part of an event, and its shape is unknown",
    note = "put `#[derive(Shape)]` beside `Serialize` and `Deserialize` on `{Self}`; for a type of another crate, write `#[shape(as = \"String\")]` on the field (its JSON is that of the named type), or `#[shape(any)]` (its JSON is not checked)"
)]
pub trait Shape {
    /// Whether serde reads a field of this type as empty when it is missing, as it does an `Option`.
    const ABSENT_OK: bool = false;

    /// The shape of its JSON.
    fn shape(shapes: &mut Shapes) -> Node;
}

/// The shapes that were asked for so far. It finds types that contain themselves.
#[derive(Debug, Default)]
pub struct Shapes {
    /// By the type's full name: the short name under which it is referred to, once it was.
    open: HashMap<&'static str, Option<String>>,
    known: HashMap<&'static str, Node>,
    types: BTreeMap<String, Node>,
}

impl Shapes {
    /// The shape of the type `full_name`, built once. A type that contains itself is kept aside and referred to.
    pub fn named(
        &mut self,
        full_name: &'static str,
        name: &str,
        build: impl FnOnce(&mut Self) -> Node,
    ) -> Node {
        if let Some(known) = self.known.get(full_name) {
            return known.clone();
        }
        if let Some(referred) = self.open.get(full_name) {
            let to = referred.clone().unwrap_or_else(|| self.free_name(name));
            self.open.insert(full_name, Some(to.clone()));
            return Node::Ref { to };
        }
        self.open.insert(full_name, None);
        let built = build(self);
        let node = match self.open.remove(full_name).flatten() {
            Some(to) => {
                self.types.insert(to.clone(), built);
                Node::Ref { to }
            }
            None => built,
        };
        self.known.insert(full_name, node.clone());
        node
    }

    fn free_name(&self, name: &str) -> String {
        let is_taken = |candidate: &String| {
            self.types.contains_key(candidate) || self.open.values().flatten().any(|open| open == candidate)
        };
        let numbered = (2_u32..).map(|number| format!("{name}{number}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        candidates.find(|candidate| !is_taken(candidate)).unwrap_or_default()
    }

    /// What a reference stands for, where that is known already.
    pub(super) fn resolved(&self, node: Node) -> Node {
        match &node {
            Node::Ref { to } => self.types.get(to).cloned().unwrap_or(node),
            _ => node,
        }
    }
}

impl Schema {
    /// The schema of a type.
    pub fn of<T: Shape + ?Sized>() -> Self {
        Self::from_shape(T::shape)
    }

    /// The schema that this function builds.
    pub fn from_shape(shape: impl FnOnce(&mut Shapes) -> Node) -> Self {
        let mut shapes = Shapes::default();
        let shape = shape(&mut shapes);
        Self { shape, types: shapes.types }
    }

    /// What a node is, past references.
    pub fn resolve<'a>(&'a self, mut node: &'a Node) -> &'a Node {
        for _ in 0..=self.types.len() {
            let Node::Ref { to } = node else { break };
            match self.types.get(to) {
                Some(found) => node = found,
                None => break,
            }
        }
        node
    }
}

/// How to make a shape: what the derives keep with each type of event. It costs nothing until it is called.
#[derive(Clone, Copy)]
pub struct ShapeOf(fn(&mut Shapes) -> Node);

impl ShapeOf {
    /// The shape that this function makes.
    pub const fn new(shape: fn(&mut Shapes) -> Node) -> Self {
        Self(shape)
    }

    /// Makes the schema.
    pub fn schema(self) -> Schema {
        Schema::from_shape(self.0)
    }
}

impl fmt::Debug for ShapeOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShapeOf(..)")
    }
}
