//! `#[derive(Event)]`.

use crate::attributes::{EventAttribute, positive, refuse_generics, serde_words};
use proc_macro2::TokenStream;
use quote::quote;
use std::collections::HashSet;
use syn::spanned::Spanned;
use syn::{Data, DataEnum, DeriveInput, Error, Fields, LitStr, Result, Variant};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let variants = variants(input)?;
    refuse_generics(input, "an enum of events")?;
    check_serde_of_enum(input)?;
    let of_enum = EventAttribute::read(&input.attrs, false)?;
    let mut names = HashSet::new();
    let (mut types, mut decodes, mut matches) = (Vec::new(), Vec::new(), Vec::new());
    for (at, variant) in variants.variants.iter().enumerate() {
        check_variant(variant)?;
        let attribute = EventAttribute::read(&variant.attrs, true)?;
        let name = name_of(variant, &attribute)?;
        if !names.insert(name.value()) {
            let text = format!("two variants are called {:?}; give each a name of its own", name.value());
            return Err(Error::new(name.span(), text));
        }
        let (version, since) = versions_of(&attribute)?;
        let topic = topic_of(&attribute, &of_enum);
        let (index, ident) = (u32::try_from(at).unwrap_or(u32::MAX), &variant.ident);
        types.push(quote!(factstream::event::EventType { name: #name, version: #version, since: #since, topic: #topic }));
        decodes.push(quote!(#name => Some(factstream::derive_support::decode_variant::<Self>(#index, json))));
        matches.push(quote!(Self::#ident { .. } => &TYPES[#at]));
    }
    let (ident, count) = (&input.ident, types.len());
    Ok(quote! {
        const _: () = {
            static TYPES: [factstream::event::EventType; #count] = [#(#types),*];

            impl factstream::event::EventSet for #ident {
                fn event_types() -> ::std::vec::Vec<&'static factstream::event::EventType> {
                    TYPES.iter().collect()
                }

                fn decode(
                    event_type: &str,
                    json: &str,
                ) -> ::core::option::Option<
                    ::core::result::Result<Self, factstream::derive_support::serde_json::Error>,
                > {
                    match event_type {
                        #(#decodes,)*
                        _ => None,
                    }
                }
            }

            impl factstream::event::Event for #ident {
                fn event_type(&self) -> &'static factstream::event::EventType {
                    match self { #(#matches),* }
                }

                fn encode(
                    &self,
                ) -> ::core::result::Result<::std::string::String, factstream::derive_support::serde_json::Error> {
                    factstream::derive_support::encode_variant(self)
                }
            }
        };
    })
}

fn variants(input: &DeriveInput) -> Result<&DataEnum> {
    match &input.data {
        Data::Enum(data) if data.variants.is_empty() => Err(Error::new(
            input.ident.span(),
            "an enum of events has at least one variant: one for each thing that can happen",
        )),
        Data::Enum(data) => Ok(data),
        _ => {
            let text = "events are an enum, one variant for each thing that can happen: `enum OrderEvent { Created { .. }, Shipped { .. } }`";
            Err(Error::new(input.ident.span(), text))
        }
    }
}

fn check_serde_of_enum(input: &DeriveInput) -> Result<()> {
    for (word, span) in serde_words(&input.attrs) {
        let advice = match word.as_str() {
            "tag" | "content" | "untagged" => {
                "remove it: the event's name stands in the envelope, and its JSON is just its fields"
            }
            "deny_unknown_fields" => {
                "remove it: events must accept added fields, so that an additive change needs no new version"
            }
            _ => continue,
        };
        return Err(Error::new(span, format!("serde({word}) does not fit events; {advice}")));
    }
    Ok(())
}

fn check_variant(variant: &Variant) -> Result<()> {
    for (word, span) in serde_words(&variant.attrs) {
        if matches!(word.as_str(), "skip" | "skip_serializing" | "skip_deserializing" | "other" | "untagged")
        {
            let text = format!(
                "serde({word}) does not fit events: every event must be written and read back; remove it"
            );
            return Err(Error::new(span, text));
        }
    }
    if let Fields::Unnamed(fields) = &variant.fields
        && fields.unnamed.len() != 1
    {
        let text = "give the fields names: `Created { customer_id: String }`; an event's JSON is an object (a single unnamed field holds a struct)";
        return Err(Error::new(variant.fields.span(), text));
    }
    for field in &variant.fields {
        if field.ident.as_ref().is_some_and(|ident| ident == "aggregate_id") {
            let text = "`aggregate_id` is added to every published event by factstream; rename this field, or drop it";
            return Err(Error::new(field.span(), text));
        }
    }
    Ok(())
}

fn name_of(variant: &Variant, attribute: &EventAttribute) -> Result<LitStr> {
    let name = attribute.name.clone();
    let name = name.unwrap_or_else(|| LitStr::new(&variant.ident.to_string(), variant.ident.span()));
    let value = name.value();
    if value.is_empty() || value.len() > 255 || value.chars().any(char::is_control) {
        return Err(Error::new(
            name.span(),
            "an event's name has 1 to 255 bytes and no control characters, for example \"OrderCreated\"",
        ));
    }
    Ok(name)
}

fn versions_of(attribute: &EventAttribute) -> Result<(u32, u32)> {
    let version = positive(attribute.version.as_ref(), "version")?;
    let since = positive(attribute.since.as_ref(), "since")?;
    match &attribute.since {
        Some(literal) if since > version => {
            let text =
                "since is the oldest version that may still lie in a store; it is not greater than version";
            Err(Error::new(literal.span(), text))
        }
        _ => Ok((version, since)),
    }
}

fn topic_of(variant: &EventAttribute, of_enum: &EventAttribute) -> TokenStream {
    let own = variant.topic.is_some() || variant.private.is_some();
    let attribute = if own { variant } else { of_enum };
    match (&attribute.topic, &attribute.private) {
        (Some(topic), _) => quote!(Some(#topic)),
        (None, Some(_)) => quote!(None),
        (None, None) => quote!(Some(factstream::event::DEFAULT_TOPIC)),
    }
}
