//! `#[derive(Event)]`: a table of the enum's event types, and the way of each variant to and from flat JSON.
//!
//! Invariant: a variant is decoded by its place in the declaration, so nothing may make serde count otherwise
//! ([`crate::serde_rules`]).

use crate::attributes::{EventAttribute, positive, refuse_generics};
use crate::framework;
use crate::naming::Naming;
use crate::serde_attributes::SerdeAttributes;
use crate::serde_rules;
use crate::shape;
use proc_macro2::TokenStream;
use quote::quote;
use std::collections::HashSet;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DataEnum, DeriveInput, Error, Fields, LitStr, Result, Type, Variant};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let variants = variants(input)?;
    refuse_generics(input, "an enum of events")?;
    serde_rules::check_enum(&input.attrs)?;
    let of_enum = EventAttribute::read(&input.attrs, false)?;
    let import = framework::import(&input.attrs, "event")?;
    let enum_ident = &input.ident;
    let naming = Naming::of(&input.ident, of_enum.prefix.as_ref());
    let serde = SerdeAttributes::read(&input.attrs)?;
    let mut names = HashSet::new();
    let (mut types, mut decodes, mut matches) = (Vec::new(), Vec::new(), Vec::new());
    for (at, variant) in variants.variants.iter().enumerate() {
        check_variant(variant)?;
        let attribute = EventAttribute::read(&variant.attrs, true)?;
        let is_given = attribute.name.is_some();
        let name = name_of(variant, attribute.name.as_ref(), &naming)?;
        if !names.insert(name.value()) {
            let text = format!("two variants are called {:?}; give each a name of its own", name.value());
            return Err(Error::new(name.span(), text));
        }
        for former in &attribute.was {
            check_name(former)?;
            if !names.insert(former.value()) {
                let text = format!(
                    "{:?} is, or was, the name of two events; an event that is stored under it would be both",
                    former.value()
                );
                return Err(Error::new(former.span(), text));
            }
        }
        let (was, retired) = (&attribute.was, attribute.retired.map(|_| quote!(.retired())));
        let (version, since) = versions_of(&attribute)?;
        let topic = topic_of(&attribute, &of_enum);
        let (index, ident) = (u32::try_from(at).unwrap_or(u32::MAX), &variant.ident);
        let variant_name = ident.unraw().to_string();
        let variant_name = (!is_given).then(|| quote!(.variant(#variant_name)));
        let content = shape::content_of(variant, &SerdeAttributes::read(&variant.attrs)?, &serde)?;
        let content = content.unwrap_or_else(|| {
            quote!({
                let _ = &shapes;
                factstream::schema::ObjectShape::new(false).build()
            })
        });
        types.push(quote! {
            factstream::event::EventType::new(#name)
                .at_version(#version)
                .since(#since)
                .topic(#topic)
                .declared_by(::core::concat!(::core::module_path!(), "::", ::core::stringify!(#enum_ident)))
                .contract(factstream::event::EventContract::new(
                    |shapes| #content,
                    |json| factstream::derive_support::rewrite_variant::<#enum_ident>(#index, json),
                ))
                .was(&[#(#was),*])
                #retired
                #variant_name
        });
        decodes.push(quote!(#name #(| #was)* => ::core::option::Option::Some(factstream::derive_support::decode_variant::<Self>(#index, json))));
        matches.push(quote!(Self::#ident { .. } => &TYPES[#at]));
    }
    let (ident, count) = (enum_ident, types.len());
    Ok(quote! {
        const _: () = {
            #import

            static TYPES: [factstream::event::EventType; #count] = [#(#types),*];

            #[automatically_derived]
            #[allow(deprecated)]
            impl factstream::event::EventSet for #ident {
                fn event_types() -> ::std::vec::Vec<&'static factstream::event::EventType> {
                    TYPES.iter().collect()
                }

                fn decode(
                    event_type: &str,
                    json: &str,
                ) -> ::core::option::Option<
                    ::core::result::Result<Self, factstream::decode::ContentError>,
                > {
                    match event_type {
                        #(#decodes,)*
                        _ => ::core::option::Option::None,
                    }
                }
            }

            #[automatically_derived]
            #[allow(deprecated)]
            impl factstream::event::Event for #ident {
                fn event_type(&self) -> &'static factstream::event::EventType {
                    match self { #(#matches),* }
                }

                fn encode(
                    &self,
                ) -> ::core::result::Result<factstream::envelope::JsonText, factstream::derive_support::serde_json::Error> {
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

fn check_variant(variant: &Variant) -> Result<()> {
    serde_rules::check_variant(&variant.attrs)?;
    if let Fields::Unnamed(fields) = &variant.fields {
        let holds_a_struct = fields.unnamed.len() == 1 && !is_never_an_object(&fields.unnamed[0].ty);
        if !holds_a_struct {
            let text = "give the fields names: `Created { customer_id: String }`; an event's JSON is an object (a single unnamed field holds a struct)";
            return Err(Error::new(variant.fields.span(), text));
        }
    }
    variant.fields.iter().try_for_each(serde_rules::check_field)
}

/// Whether a type's JSON is plainly not an object. What the macro cannot see, the first encoding refuses.
fn is_never_an_object(ty: &Type) -> bool {
    const SCALARS: [&str; 17] = [
        "String", "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16",
        "u32", "u64", "u128", "usize",
    ];
    match ty {
        Type::Tuple(_) | Type::Array(_) | Type::Slice(_) | Type::Reference(_) => true,
        Type::Path(path) if path.path.segments.len() == 1 => {
            let segment = &path.path.segments[0];
            let generic = !segment.arguments.is_empty();
            let known: &[&str] = if generic { &["Vec", "Option"] } else { &SCALARS };
            known.iter().any(|name| segment.ident == name)
        }
        _ => false,
    }
}

fn name_of(variant: &Variant, given: Option<&LitStr>, naming: &Naming) -> Result<LitStr> {
    let made = || LitStr::new(&naming.name(&variant.ident.unraw().to_string()), variant.ident.span());
    let name = given.cloned().unwrap_or_else(made);
    check_name(&name)?;
    Ok(name)
}

fn check_name(name: &LitStr) -> Result<()> {
    let value = name.value();
    if value.is_empty() || value.len() > 255 || value.chars().any(char::is_control) {
        return Err(Error::new(
            name.span(),
            "an event's name has 1 to 255 bytes and no control characters, for example \"OrderCreated\"",
        ));
    }
    Ok(())
}

fn versions_of(attribute: &EventAttribute) -> Result<(u32, u32)> {
    let version = positive(attribute.version.as_ref(), "version")?;
    let since = positive(attribute.since.as_ref(), "since")?;
    match &attribute.since {
        Some(literal) if since > version => {
            let text = "since is the oldest version that may still lie in a store, so it is at most version; raise version or lower since";
            Err(Error::new(literal.span(), text))
        }
        _ => Ok((version, since)),
    }
}

fn topic_of(variant: &EventAttribute, of_enum: &EventAttribute) -> TokenStream {
    let own = variant.topic.is_some() || variant.private.is_some();
    let attribute = if own { variant } else { of_enum };
    match (&attribute.topic, &attribute.private) {
        (Some(topic), _) => quote!(::core::option::Option::Some(#topic)),
        (None, Some(_)) => quote!(::core::option::Option::None),
        (None, None) => quote!(::core::option::Option::Some(factstream::event::DEFAULT_TOPIC)),
    }
}
