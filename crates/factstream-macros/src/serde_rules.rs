//! Which serde attributes fit events, and which would break what is stored.
//!
//! Invariant: an event's JSON is written from its variant's content and read back by the variant's place in the enum, so
//! every variant must be written and read by serde's own derive, in serde's externally tagged form.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Field, LitStr, Result};

/// The key that factstream adds to every published event.
const ADDED_KEY: &str = "aggregate_id";

/// One word in `#[serde(..)]`, with the strings that are said to it.
struct Word {
    name: String,
    span: Span,
    strings: Vec<LitStr>,
}

fn words(attributes: &[Attribute]) -> Vec<Word> {
    let mut words = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let read = attribute.parse_nested_meta(|meta| {
            let mut strings = Vec::new();
            if meta.input.peek(syn::Token![=]) {
                let value: syn::Expr = meta.value()?.parse()?;
                if let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(string), .. }) = value {
                    strings.push(string);
                }
            } else if meta.input.peek(syn::token::Paren) {
                let inner;
                syn::parenthesized!(inner in meta.input);
                strings = strings_in(inner.parse()?);
            }
            if let Some(ident) = meta.path.get_ident() {
                words.push(Word { name: ident.to_string(), span: meta.path.span(), strings });
            }
            Ok(())
        });
        drop(read); // what serde does not understand, serde reports
    }
    words
}

fn strings_in(tokens: TokenStream) -> Vec<LitStr> {
    let strings = tokens.into_iter().filter_map(|token| match token {
        TokenTree::Literal(literal) => syn::parse2(TokenTree::from(literal).into()).ok(),
        _ => None,
    });
    strings.collect()
}

pub(crate) fn check_enum(attributes: &[Attribute]) -> Result<()> {
    for Word { name: word, span, .. } in words(attributes) {
        let advice = match word.as_str() {
            "tag" | "content" | "untagged" => {
                "remove it: the event's name stands in the envelope, and its JSON is just its fields"
            }
            "deny_unknown_fields" => {
                "remove it: events must accept added fields, so that an additive change needs no new version"
            }
            "from" | "try_from" | "into" | "remote" | "variant_identifier" | "field_identifier" => {
                "remove it: an event is written and read as this very enum; what an older build wrote is lifted by an upcaster"
            }
            _ => continue,
        };
        return Err(Error::new(span, format!("serde({word}) does not fit events; {advice}")));
    }
    Ok(())
}

pub(crate) fn check_variant(attributes: &[Attribute]) -> Result<()> {
    for Word { name: word, span, .. } in words(attributes) {
        if matches!(word.as_str(), "skip" | "skip_serializing" | "skip_deserializing" | "other" | "untagged")
        {
            let text = format!(
                "serde({word}) does not fit events: every event must be written and read back; remove it"
            );
            return Err(Error::new(span, text));
        }
    }
    Ok(())
}

/// A field must not take the key that the framework adds, neither by its own name nor by a name it is given.
pub(crate) fn check_field(field: &Field) -> Result<()> {
    let named = field.ident.as_ref().filter(|ident| *ident == ADDED_KEY);
    let renamed = words(&field.attrs)
        .into_iter()
        .filter(|word| word.name == "rename" || word.name == "alias")
        .flat_map(|word| word.strings)
        .find(|string| string.value() == ADDED_KEY);
    let taken = named.map(syn::Ident::span).or_else(|| renamed.map(|string| string.span()));
    match taken {
        Some(span) => {
            let text = "`aggregate_id` is added to every published event by factstream; rename this field, or drop it";
            Err(Error::new(span, text))
        }
        None => Ok(()),
    }
}
