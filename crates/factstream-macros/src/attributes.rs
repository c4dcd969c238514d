//! What the derives read from attributes, and the checks that they share.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Error, LitInt, LitStr, Result};

/// `#[event(..)]` of an enum or a variant.
#[derive(Default)]
pub(crate) struct EventAttribute {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitInt>,
    pub(crate) since: Option<LitInt>,
    pub(crate) topic: Option<LitStr>,
    pub(crate) private: Option<Span>,
    pub(crate) prefix: Option<LitStr>,
    pub(crate) was: Vec<LitStr>,
    pub(crate) retired: Option<Span>,
}

impl EventAttribute {
    pub(crate) fn read(attributes: &[Attribute], on_variant: bool) -> Result<Self> {
        let mut read = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("event")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("topic") {
                    set(&mut read.topic, meta.value()?.parse()?, "topic")
                } else if meta.path.is_ident("private") {
                    set(&mut read.private, meta.path.span(), "private")
                } else if !on_variant && meta.path.is_ident("crate") {
                    meta.value()?.parse::<LitStr>().map(drop) // read in `framework`
                } else if !on_variant && meta.path.is_ident("prefix") {
                    set(&mut read.prefix, meta.value()?.parse()?, "prefix")
                } else if on_variant && meta.path.is_ident("name") {
                    set(&mut read.name, meta.value()?.parse()?, "name")
                } else if on_variant && meta.path.is_ident("version") {
                    set(&mut read.version, meta.value()?.parse()?, "version")
                } else if on_variant && meta.path.is_ident("since") {
                    set(&mut read.since, meta.value()?.parse()?, "since")
                } else if on_variant && meta.path.is_ident("retired") {
                    set(&mut read.retired, meta.path.span(), "retired")
                } else if on_variant && meta.path.is_ident("was") {
                    read.was = former_names(&meta)?;
                    Ok(())
                } else if on_variant {
                    Err(meta.error("unknown key; a variant knows: name = \"..\", was = [\"..\"], version = 1, since = 1, topic = \"..\", private, retired"))
                } else {
                    Err(meta.error("unknown key; the enum knows: topic = \"..\", private, prefix = \"..\" (name, version and since belong on a variant)"))
                }
            })?;
        }
        if let (Some(topic), Some(_)) = (&read.topic, &read.private) {
            let text = "an event is either private or has a topic; remove one of the two";
            return Err(Error::new(topic.span(), text));
        }
        if let Some(topic) = &read.topic {
            check_topic(topic)?;
        }
        Ok(read)
    }
}

/// `was = ["OrderCreated", ..]`
fn former_names(meta: &ParseNestedMeta<'_>) -> Result<Vec<LitStr>> {
    let advice = "was is a list of the names that it had, oldest first: was = [\"OrderCreated\"]";
    let list: syn::ExprArray =
        meta.value()?.parse().map_err(|error: Error| Error::new(error.span(), advice))?;
    let name = |item: &syn::Expr| match item {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. }) => Ok(name.clone()),
        other => Err(Error::new(other.span(), advice)),
    };
    list.elems.iter().map(name).collect()
}

fn set<T>(place: &mut Option<T>, value: T, key: &str) -> Result<()>
where
    T: SpanOf,
{
    if place.is_some() {
        return Err(Error::new(value.span_of(), format!("{key} is said twice; keep one")));
    }
    *place = Some(value);
    Ok(())
}

/// Where a value stands.
trait SpanOf {
    fn span_of(&self) -> Span;
}

impl SpanOf for LitStr {
    fn span_of(&self) -> Span {
        self.span()
    }
}

impl SpanOf for LitInt {
    fn span_of(&self) -> Span {
        self.span()
    }
}

impl SpanOf for Span {
    fn span_of(&self) -> Span {
        *self
    }
}

/// Kafka's rule for names of topics.
fn check_topic(topic: &LitStr) -> Result<()> {
    let name = topic.value();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 249 || !name.chars().all(allowed) || name == "." || name == ".." {
        let text =
            "a topic's name has 1 to 249 letters, digits, '.', '_' or '-', for example \"orders.events\"";
        return Err(Error::new(topic.span(), text));
    }
    Ok(())
}

/// A version from 1.
pub(crate) fn positive(literal: Option<&LitInt>, key: &str) -> Result<u32> {
    let Some(literal) = literal else { return Ok(1) };
    match literal.base10_parse::<u32>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Error::new(literal.span(), format!("{key} is a whole number from 1"))),
    }
}

/// `#[read_model(..)]` of a struct: the table's name.
pub(crate) fn table_name(input: &DeriveInput) -> Result<LitStr> {
    let mut table: Option<LitStr> = None;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("read_model")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("table") {
                return set(&mut table, meta.value()?.parse()?, "table");
            }
            if meta.path.is_ident("crate") {
                return meta.value()?.parse::<LitStr>().map(drop); // read in `framework`
            }
            Err(meta.error("unknown key; a read model knows: table = \"..\""))
        })?;
    }
    let advice = "name the table: #[read_model(table = \"order_rows\")]";
    let table = table.ok_or_else(|| Error::new(input.ident.span(), advice))?;
    let name = table.value();
    if !is_sql_name(&name) || name.starts_with("fs_") || name == "events" {
        let text = "a table's name has 1 to 48 characters of a-z, 0-9 and '_', begins with a letter or '_', and is neither `events` nor begins with `fs_`, which are factstream's own";
        return Err(Error::new(table.span(), text));
    }
    Ok(table)
}

/// `#[column(..)]` of a field.
#[derive(Default)]
pub(crate) struct ColumnAttribute {
    pub(crate) key: Option<Span>,
    pub(crate) index: Option<Span>,
    pub(crate) json: Option<Span>,
    pub(crate) text: Option<Span>,
    pub(crate) name: Option<LitStr>,
}

impl ColumnAttribute {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut read = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("column")) {
            attribute.parse_nested_meta(|meta| {
                let span = meta.path.span();
                if meta.path.is_ident("key") {
                    set(&mut read.key, span, "key")
                } else if meta.path.is_ident("index") {
                    set(&mut read.index, span, "index")
                } else if meta.path.is_ident("json") {
                    set(&mut read.json, span, "json")
                } else if meta.path.is_ident("text") {
                    set(&mut read.text, span, "text")
                } else if meta.path.is_ident("name") {
                    set(&mut read.name, meta.value()?.parse()?, "name")
                } else {
                    Err(meta.error("unknown key; a column knows: key, index, json, text, name = \"..\""))
                }
            })?;
        }
        if let (Some(json), Some(_)) = (read.json, read.text) {
            return Err(Error::new(json, "a column is kept as json or as text; remove one of the two"));
        }
        if let (Some(key), Some(_)) = (read.key, read.json) {
            return Err(Error::new(key, "a key is not kept as json; use a String, a whole number, or text"));
        }
        Ok(read)
    }
}

pub(crate) fn is_sql_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    begins && name.len() <= 48 && name.chars().all(allowed)
}

/// Generic types have no fixed JSON or table.
pub(crate) fn refuse_generics(input: &DeriveInput, what: &str) -> Result<()> {
    if input.generics.params.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        input.generics.span(),
        format!("{what} has no generic parameters; write it out for one type"),
    ))
}
