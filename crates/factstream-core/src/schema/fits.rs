//! Whether everything that one schema may write is within what another one can read.
//!
//! Invariant: it is sound. Where nothing is found, serde reads every value that the writer may write. Each rule that looks stricter
//! than needed stands there for the values for which serde would refuse.

mod fields;
mod variants;

use super::misfit::{Level, Misfit, Mismatch};
use super::node::{Bound, Node, Schema};

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A build of factstream: by the read contract.
    Factstream,
    /// Someone else's program, made for what the other schema writes. It passes over fields that it does not know, and reads numbers
    /// as JSON has them.
    Foreign,
}

/// Beyond this, many readers of JSON lose digits.
const EXACT_IN_F64: u128 = 1 << 53;
const EXACT_IN_F32: u128 = 1 << 24;

/// Where values that `writer` may write cannot be read by `reader`; empty when all can.
///
/// ```
/// # use factstream_core as factstream;
/// use factstream_core::schema::{Reader, Schema, misfits};
/// use factstream_macros::Shape;
///
/// #[derive(Shape)]
/// struct Before { amount: u32 }
/// #[derive(Shape)]
/// struct After { amount: u64 }
///
/// let (before, after) = (Schema::of::<Before>(), Schema::of::<After>());
/// assert!(misfits(&before, &after, Reader::Factstream).is_empty());
/// assert_eq!(misfits(&after, &before, Reader::Factstream)[0].path, "amount");
/// ```
pub fn misfits(writer: &Schema, reader: &Schema, by: Reader) -> Vec<Misfit> {
    let mut comparison = Comparison { writer, reader, by, assumed: Vec::new(), found: Vec::new() };
    comparison.node("", &writer.shape, &reader.shape);
    comparison.found
}

struct Comparison<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
    by: Reader,
    /// Pairs under comparison. One that comes up again within itself holds if the rest does.
    assumed: Vec<(*const Node, *const Node)>,
    found: Vec<Misfit>,
}

impl Comparison<'_> {
    /// What is found in this comparison alone.
    fn apart(&mut self, compare: impl FnOnce(&mut Self)) -> Vec<Misfit> {
        let before = std::mem::take(&mut self.found);
        compare(self);
        std::mem::replace(&mut self.found, before)
    }

    fn report(&mut self, path: &str, mismatch: Mismatch, text: String) {
        self.found.push(Misfit::new(path, mismatch, Level::Break, text));
    }

    fn node(&mut self, path: &str, written: &Node, read: &Node) {
        if !matches!((written, read), (Node::Ref { .. }, _) | (_, Node::Ref { .. })) {
            return self.resolved(path, written, read);
        }
        let pair = (std::ptr::from_ref(written), std::ptr::from_ref(read));
        if self.assumed.contains(&pair) {
            return;
        }
        self.assumed.push(pair);
        let (writer, reader) = (self.writer, self.reader);
        self.resolved(path, writer.resolve(written), reader.resolve(read));
        self.assumed.pop();
    }

    fn resolved(&mut self, path: &str, written: &Node, read: &Node) {
        match (written, read) {
            (_, Node::Any) | (Node::Null, Node::Null | Node::Nullable { .. }) | (Node::Bool, Node::Bool) => {}
            (Node::OneOf { of }, read) => self.each_variant(path, of, read),
            (Node::Nullable { of }, read) => {
                self.node(path, &Node::Null, read);
                self.node(path, of, read);
            }
            (written, Node::Nullable { of }) => self.node(path, written, of),
            (written, Node::OneOf { of }) => self.some_variant(path, None, written, of),
            (Node::Null, _) => {
                let text = format!("null may be written, and the reader takes {} only", read.kind());
                self.report(path, Mismatch::NullRefused, text);
            }
            (Node::Integer { .. } | Node::Float { .. }, Node::Integer { .. } | Node::Float { .. }) => {
                self.number(path, written, read);
            }
            (Node::String { .. } | Node::Word { .. }, Node::String { .. } | Node::Word { .. }) => {
                self.text(path, written, read);
            }
            (Node::Array { .. } | Node::Tuple { .. }, Node::Array { .. } | Node::Tuple { .. }) => {
                self.list(path, written, read);
            }
            (Node::Object { .. } | Node::Map { .. }, Node::Object { .. } | Node::Map { .. }) => {
                self.object(path, written, read);
            }
            _ => self.changed(path, written, read),
        }
    }

    fn changed(&mut self, path: &str, written: &Node, read: &Node) {
        let text = format!("{} is written, and the reader takes {}", written.kind(), read.kind());
        self.report(path, Mismatch::TypeChanged, text);
    }

    fn number(&mut self, path: &str, written: &Node, read: &Node) {
        let fits = match (written, read) {
            (
                Node::Integer { min, max, nonzero },
                Node::Integer { min: least, max: greatest, nonzero: no_zero },
            ) => {
                let has_zero = !nonzero && *min <= Bound::Natural(0);
                min >= least && max <= greatest && !(*no_zero && has_zero)
            }
            (Node::Integer { min, max, .. }, Node::Float { bits }) => {
                let exact = if *bits == 32 { EXACT_IN_F32 } else { EXACT_IN_F64 };
                size(*min).max(size(*max)) <= exact
            }
            (Node::Float { bits }, Node::Float { bits: room }) => bits <= room,
            _ => return self.changed(path, written, read),
        };
        if fits {
            return;
        }
        let text = format!("{} is written, and the reader takes {}", written.kind(), read.kind());
        if self.by == Reader::Factstream {
            return self.report(path, Mismatch::NumberTooLarge, text);
        }
        if largest(written) > EXACT_IN_F64 && largest(read) <= EXACT_IN_F64 {
            let text = format!("{text}; beyond 2^53 many readers of JSON lose digits");
            self.found.push(Misfit::new(path, Mismatch::NumberTooLarge, Level::Warn, text));
        }
    }

    fn text(&mut self, path: &str, written: &Node, read: &Node) {
        let fits = match (written, read) {
            (_, Node::String { format: None }) => true,
            (Node::String { format: one }, Node::String { format: other }) => one == other,
            (Node::Word { written, .. }, Node::Word { written: name, read, other }) => match self.by {
                Reader::Factstream => {
                    *other || read.contains(written) || (read.is_empty() && name == written)
                }
                Reader::Foreign => name == written,
            },
            _ => false,
        };
        if !fits {
            let text = format!("{} is written, and the reader takes {}", written.kind(), read.kind());
            self.report(path, Mismatch::FormatChanged, text);
        }
    }

    fn list(&mut self, path: &str, written: &Node, read: &Node) {
        let ((fewest, most), (least, greatest)) = (lengths(written), lengths(read));
        let is_too_long = greatest.is_some_and(|greatest| most.is_none_or(|most| most > greatest));
        if fewest < least || is_too_long {
            let shown = |(min, max): (u64, Option<u64>)| match max {
                Some(max) if max == min => format!("{max} values"),
                Some(max) => format!("{min} to {max} values"),
                None => format!("{min} or more values"),
            };
            let (written, read) = (shown((fewest, most)), shown((least, greatest)));
            let text = format!("{written} are written, and the reader takes {read}");
            return self.report(path, Mismatch::LengthChanged, text);
        }
        match (written, read) {
            (Node::Array { items, .. }, Node::Array { items: read, .. }) => {
                self.node(&format!("{path}[]"), items, read);
            }
            (Node::Tuple { items }, Node::Array { items: read, .. }) => {
                let numbered = items.iter().enumerate();
                numbered.for_each(|(at, item)| self.node(&format!("{path}[{at}]"), item, read));
            }
            (Node::Array { items, .. }, Node::Tuple { items: read }) => {
                let numbered = read.iter().enumerate();
                numbered.for_each(|(at, read)| self.node(&format!("{path}[{at}]"), items, read));
            }
            (Node::Tuple { items }, Node::Tuple { items: read }) => {
                let numbered = items.iter().zip(read).enumerate();
                numbered.for_each(|(at, (item, read))| self.node(&format!("{path}[{at}]"), item, read));
            }
            _ => {}
        }
    }
}

fn lengths(list: &Node) -> (u64, Option<u64>) {
    match list {
        Node::Array { min, max, .. } => (*min, *max),
        Node::Tuple { items } => (items.len() as u64, Some(items.len() as u64)),
        _ => (0, None),
    }
}

fn size(bound: Bound) -> u128 {
    match bound {
        Bound::Negative(number) => number.unsigned_abs(),
        Bound::Natural(number) => number,
    }
}

fn largest(number: &Node) -> u128 {
    match number {
        Node::Integer { min, max, .. } => size(*min).max(size(*max)),
        _ => EXACT_IN_F64,
    }
}
