//! What serde's attributes, and `#[shape(..)]`, say about a type, a variant or a field.
//!
//! Invariant: what serde itself does not understand is left to serde to report.

use crate::renaming::Rule;
use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, Error, LitStr, Result, Type};

/// One word for writing and one for reading, which are mostly the same.
#[derive(Debug, Clone)]
pub(crate) struct Both<T> {
    pub(crate) write: Option<T>,
    pub(crate) read: Option<T>,
}

/// The attributes of one type, variant or field.
#[derive(Default)]
pub(crate) struct SerdeAttributes {
    pub(crate) rename: Both<String>,
    pub(crate) rename_all: Both<Rule>,
    pub(crate) rename_all_fields: Both<Rule>,
    pub(crate) aliases: Vec<String>,
    pub(crate) tag: Option<String>,
    pub(crate) content: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) into: Option<String>,
    pub(crate) skip_if: Option<String>,
    /// Where the words without a value stand.
    flags: Vec<(String, Span)>,
    /// `#[shape(as = "..")]`
    pub(crate) shape_as: Option<Type>,
    /// `#[shape(any)]`
    pub(crate) shape_any: bool,
}

/// Words that are kept as they are: they are asked for by name.
const FLAGS: [&str; 17] = [
    "default",
    "flatten",
    "skip",
    "skip_serializing",
    "skip_deserializing",
    "with",
    "serialize_with",
    "deserialize_with",
    "deny_unknown_fields",
    "untagged",
    "other",
    "transparent",
    "try_from",
    "remote",
    "variant_identifier",
    "field_identifier",
    "getter",
];

impl SerdeAttributes {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut read = Self::default();
        for attribute in attributes {
            if attribute.path().is_ident("serde") {
                let done = attribute.parse_nested_meta(|meta| read.serde(&meta));
                drop(done); // what serde does not understand, serde reports
            } else if attribute.path().is_ident("shape") {
                attribute.parse_nested_meta(|meta| read.shape(&meta))?;
            }
        }
        Ok(read)
    }

    fn serde(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let Some(word) = meta.path.get_ident().map(ToString::to_string) else { return skip_value(meta) };
        match word.as_str() {
            "rename" => self.rename = both(meta, |text| Some(text.value()))?,
            "rename_all" => self.rename_all = both(meta, |text| Rule::named(&text.value()))?,
            "rename_all_fields" => self.rename_all_fields = both(meta, |text| Rule::named(&text.value()))?,
            "alias" => self.aliases.push(text(meta)?),
            "tag" => self.tag = Some(text(meta)?),
            "content" => self.content = Some(text(meta)?),
            "from" => self.from = Some(text(meta)?),
            "into" => self.into = Some(text(meta)?),
            "skip_serializing_if" => self.skip_if = Some(text(meta)?),
            flag if FLAGS.contains(&flag) => {
                self.flags.push((word, meta.path.span()));
                skip_value(meta)?;
            }
            _ => skip_value(meta)?,
        }
        Ok(())
    }

    fn shape(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("as") {
            self.shape_as = Some(meta.value()?.parse::<LitStr>()?.parse()?);
        } else if meta.path.is_ident("any") {
            self.shape_any = true;
        } else if meta.path.is_ident("crate") {
            meta.value()?.parse::<LitStr>()?; // read in `framework`
        } else {
            return Err(meta.error("unknown key; a shape knows: as = \"Type\" (its JSON is that of this type), any (its JSON is not checked)"));
        }
        match (&self.shape_as, self.shape_any) {
            (Some(_), true) => {
                Err(meta.error("its shape is either that of a type or any; keep one of the two"))
            }
            _ => Ok(()),
        }
    }

    /// Where this word stands, if it does.
    pub(crate) fn flag(&self, word: &str) -> Option<Span> {
        self.flags.iter().find(|(flag, _)| flag == word).map(|(_, span)| *span)
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.flag(word).is_some()
    }

    pub(crate) fn is_written(&self) -> bool {
        !self.has("skip") && !self.has("skip_serializing")
    }

    pub(crate) fn is_read(&self) -> bool {
        !self.has("skip") && !self.has("skip_deserializing")
    }

    /// Whether its JSON is said by hand.
    pub(crate) fn is_said(&self) -> bool {
        self.shape_any || self.shape_as.is_some()
    }

    /// Refuses functions of the user's own that write or read it, unless it is said what they make.
    pub(crate) fn refuse_own_functions(&self) -> Result<()> {
        let own = ["with", "serialize_with", "deserialize_with", "getter"]
            .into_iter()
            .find_map(|word| self.flag(word).map(|span| (word, span)));
        match own {
            Some((word, span)) if !self.is_said() => Err(Error::new(
                span,
                format!(
                    "serde({word}) hides what its JSON looks like; say it: #[shape(as = \"String\")] with the type whose JSON it is, or #[shape(any)] to leave it unchecked"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The name that is written, and those that are read.
    pub(crate) fn names(&self, plain: &str, rules: &Both<Rule>, apply: fn(Rule, &str) -> String) -> Names {
        let named = |own: &Option<String>, rule: &Option<Rule>| match (own, rule) {
            (Some(own), _) => own.clone(),
            (None, Some(rule)) => apply(*rule, plain),
            (None, None) => plain.to_owned(),
        };
        let written = named(&self.rename.write, &rules.write);
        let mut read = vec![named(&self.rename.read, &rules.read)];
        read.extend(self.aliases.iter().filter(|alias| **alias != read[0]).cloned().collect::<Vec<_>>());
        if read.len() == 1 && read[0] == written {
            read.clear();
        }
        Names { written, read }
    }
}

/// The name that is written, and those that are read where they differ.
pub(crate) struct Names {
    pub(crate) written: String,
    pub(crate) read: Vec<String>,
}

impl<T> Default for Both<T> {
    fn default() -> Self {
        Self { write: None, read: None }
    }
}

impl<T> Both<T> {
    /// The first that says anything, for each side.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { write: self.write.or(other.write), read: self.read.or(other.read) }
    }
}

fn text(meta: &ParseNestedMeta<'_>) -> Result<String> {
    Ok(meta.value()?.parse::<LitStr>()?.value())
}

fn skip_value(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(syn::Token![=]) {
        let _: syn::Expr = meta.value()?.parse()?;
    } else if meta.input.peek(syn::token::Paren) {
        let inner;
        syn::parenthesized!(inner in meta.input);
        let _: proc_macro2::TokenStream = inner.parse()?;
    }
    Ok(())
}

/// `word = ".."` for both sides, or `word(serialize = "..", deserialize = "..")`.
fn both<T: Clone>(meta: &ParseNestedMeta<'_>, of: impl Fn(&LitStr) -> Option<T>) -> Result<Both<T>> {
    if meta.input.peek(syn::Token![=]) {
        let one = of(&meta.value()?.parse()?);
        return Ok(Both { write: one.clone(), read: one });
    }
    let mut read = Both { write: None, read: None };
    meta.parse_nested_meta(|side| {
        let value: LitStr = side.value()?.parse()?;
        if side.path.is_ident("serialize") {
            read.write = of(&value);
        } else if side.path.is_ident("deserialize") {
            read.read = of(&value);
        }
        Ok(())
    })?;
    Ok(read)
}
