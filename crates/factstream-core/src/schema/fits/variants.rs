//! Enums: each variant that may be written needs one that reads it.

use super::super::misfit::{Level, Misfit, Mismatch};
use super::super::node::{Alternative, Node};
use super::{Comparison, Reader};

impl Comparison<'_> {
    pub(super) fn each_variant(&mut self, path: &str, written: &[Alternative], read: &Node) {
        for variant in written.iter().filter(|variant| !variant.never_written) {
            match self.reader.resolve(read) {
                Node::OneOf { of } => self.some_variant(path, Some(&variant.name), &variant.is, of),
                Node::Nullable { of } => match self.reader.resolve(of) {
                    Node::OneOf { of } if variant.is != Node::Null => {
                        self.some_variant(path, Some(&variant.name), &variant.is, of);
                    }
                    _ => self.node(path, &variant.is, read),
                },
                _ => self.node(path, &variant.is, read),
            }
        }
    }

    /// Looks for one that reads it. Of a variant of the same name it is said what does not fit.
    pub(super) fn some_variant(
        &mut self,
        path: &str,
        name: Option<&str>,
        written: &Node,
        read: &[Alternative],
    ) {
        let readable = read.iter().filter(|variant| match self.by {
            Reader::Factstream => !variant.never_read,
            Reader::Foreign => !variant.never_written,
        });
        let written = self.writer.resolve(written);
        let readable = admitted(written, readable.collect());
        let mut of_its_name = None;
        for variant in &readable {
            let misfits = self.apart(|own| own.node(path, written, &variant.is));
            if misfits.is_empty() {
                return;
            }
            let is_namesake = Some(variant.name.as_str()) == name || says_the_same(written, &variant.is);
            if is_namesake && of_its_name.is_none() {
                of_its_name = Some(misfits);
            }
        }
        if let (Some(misfits), true) = (of_its_name, readable.len() > 1 || name.is_some()) {
            return self.found.extend(misfits);
        }
        let shown = name.map_or_else(|| written.kind(), |name| format!("the variant {name}"));
        let level = if self.by == Reader::Foreign && name.is_some() { Level::Warn } else { Level::Break };
        let text = format!("{shown} may be written, and no variant of the reader takes it");
        self.found.push(Misfit::new(path, Mismatch::VariantUnknown, level, text));
    }
}

/// Without the variant for others, where another one claims the word first: serde asks by name.
fn admitted<'v>(written: &Node, readable: Vec<&'v Alternative>) -> Vec<&'v Alternative> {
    let catches_all = |variant: &Alternative| tag(&variant.is).is_some_and(|(.., other)| other);
    if !readable.iter().any(|variant| catches_all(variant)) {
        return readable;
    }
    let is_claimed = match tag(written) {
        Some((word, ..)) => readable.iter().any(|variant| !catches_all(variant) && reads(&variant.is, word)),
        // A text of any content may be the name of a variant that needs more than its name.
        None => true,
    };
    readable.into_iter().filter(|variant| !is_claimed || !catches_all(variant)).collect()
}

/// The word that tells a variant apart, the words read as it, and whether all others are.
fn tag(variant: &Node) -> Option<(&str, &[String], bool)> {
    match variant {
        Node::Word { written, read, other } => Some((written, read, *other)),
        Node::Object { fields, .. } => fields.iter().find_map(|field| match &field.is {
            Node::Word { written, read, other } => Some((written.as_str(), read.as_slice(), *other)),
            _ => None,
        }),
        _ => None,
    }
}

fn reads(variant: &Node, word: &str) -> bool {
    if let Some((name, read, _)) = tag(variant) {
        return if read.is_empty() { name == word } else { read.iter().any(|read| read == word) };
    }
    // Externally tagged: its one key is its name.
    match variant {
        Node::Object { fields, .. } => fields.iter().any(|field| field.keys_read().any(|key| key == word)),
        _ => false,
    }
}

/// Whether both are tagged with the same word.
fn says_the_same(written: &Node, read: &Node) -> bool {
    tag(written).is_some_and(|(word, ..)| reads(read, word))
}
