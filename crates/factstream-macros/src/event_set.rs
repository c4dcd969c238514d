//! `#[derive(EventSet)]`.

use crate::attributes::refuse_generics;
use proc_macro2::TokenStream;
use quote::quote;
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
    let ident = &input.ident;
    Ok(quote! {
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
                ::core::result::Result<Self, factstream::derive_support::serde_json::Error>,
            > {
                #(
                    if let Some(decoded) = <#inners as factstream::event::EventSet>::decode(event_type, json) {
                        return Some(decoded.map(Self::#names));
                    }
                )*
                None
            }
        }
    })
}

fn inner(variant: &Variant) -> Result<&Type> {
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(&fields.unnamed[0].ty),
        _ => Err(Error::new(variant.span(), ADVICE)),
    }
}
