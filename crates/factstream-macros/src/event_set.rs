//! `#[derive(EventSet)]`: several event sets asked in turn.
//!
//! Invariant: no set is joined twice. Two sets that share an event's name cannot be seen here.

use crate::attributes::refuse_generics;
use crate::framework;
use proc_macro2::TokenStream;
use quote::quote;
use std::collections::HashSet;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Result, Type, Variant};

const ADVICE: &str = "an event set joins enums of events, one in each variant: `enum Facts { Order(OrderEvent), Payment(PaymentEvent) }`";

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else { return Err(Error::new(input.ident.span(), ADVICE)) };
    if data.variants.is_empty() {
        return Err(Error::new(input.ident.span(), ADVICE));
    }
    refuse_generics(input, "an event set")?;
    let variants = data.variants.iter().map(|variant| Ok((&variant.ident, inner(variant)?)));
    let (names, inners): (Vec<_>, Vec<_>) = variants.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    refuse_twins(&inners)?;
    let ident = &input.ident;
    let import = framework::import(&input.attrs, "event_set")?;
    Ok(quote! {
        const _: () = {
        #import

        #[automatically_derived]
        #[allow(deprecated)]
        impl factstream::event::EventSet for #ident {
            fn event_types() -> ::std::vec::Vec<&'static factstream::event::EventType> {
                let mut types = ::std::vec::Vec::new();
                #(types.extend(<#inners as factstream::event::EventSet>::event_types());)*
                types
            }

            fn decode(
                event_type: &str,
                json: &str,
            ) -> ::core::option::Option<
                ::core::result::Result<Self, factstream::decode::ContentError>,
            > {
                #(
                    if let ::core::option::Option::Some(decoded) = <#inners as factstream::event::EventSet>::decode(event_type, json) {
                        return ::core::option::Option::Some(decoded.map(Self::#names));
                    }
                )*
                ::core::option::Option::None
            }
        }
        };
    })
}

fn inner(variant: &Variant) -> Result<&Type> {
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(&fields.unnamed[0].ty),
        _ => Err(Error::new(variant.ident.span(), ADVICE)),
    }
}

/// A set that is joined again would never be reached: the first variant takes all of its events.
fn refuse_twins(inners: &[&Type]) -> Result<()> {
    let mut seen = HashSet::new();
    for inner in inners {
        let written = quote!(#inner).to_string();
        if !seen.insert(written.clone()) {
            let text =
                format!("{written} is joined twice; remove this variant, the first one takes its events");
            return Err(Error::new(inner.span(), text));
        }
    }
    Ok(())
}
