//! Enums: how their variants are told apart, and what each holds.

use super::fields::{object, tuple, value_of};
use crate::renaming::Rule;
use crate::serde_attributes::{Names, SerdeAttributes};
use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{DataEnum, Fields, Result, Variant};

pub(super) fn enumeration(data: &DataEnum, container: &SerdeAttributes) -> Result<TokenStream> {
    let variants = data.variants.iter().map(|variant| alternative(variant, container));
    let variants: Vec<TokenStream> = variants.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    Ok(quote!({
        let _ = &shapes;
        factstream::schema::Node::OneOf { of: ::std::vec![#(#variants),*] }
    }))
}

fn alternative(variant: &Variant, container: &SerdeAttributes) -> Result<Option<TokenStream>> {
    let attributes = SerdeAttributes::read(&variant.attrs)?;
    if !attributes.is_written() && !attributes.is_read() {
        return Ok(None);
    }
    let plain = variant.ident.unraw().to_string();
    let Names { written: name, read } = attributes.names(&plain, &container.rename_all, Rule::variant);
    let content = content_of(variant, &attributes, container)?.map_or_else(
        || quote!(::core::option::Option::None),
        |content| quote!(::core::option::Option::Some(#content)),
    );
    let is_untagged = container.has("untagged") || attributes.has("untagged");
    let whole = if is_untagged {
        quote!(factstream::schema::Alternative::untagged(#name, content))
    } else {
        let tagging = tagging(container);
        quote!(factstream::schema::Tagging::#tagging.variant(#name, &[#(#read),*], content, shapes))
    };
    let for_others = attributes.has("other").then(|| quote!(.for_others()));
    let only_read = (!attributes.is_written()).then(|| quote!(.only_read()));
    let only_written = (!attributes.is_read()).then(|| quote!(.only_written()));
    Ok(Some(quote!({
        let content = #content;
        #whole #for_others #only_read #only_written
    })))
}

fn tagging(container: &SerdeAttributes) -> TokenStream {
    match (&container.tag, &container.content) {
        (Some(tag), None) => quote!(Internal(#tag)),
        (Some(tag), Some(content)) => {
            let denies = container.has("deny_unknown_fields");
            quote!(Adjacent { tag: #tag, content: #content, denies_unknown: #denies })
        }
        _ => quote!(External),
    }
}

/// What a variant holds; `None` for one that holds nothing.
pub(crate) fn content_of(
    variant: &Variant,
    attributes: &SerdeAttributes,
    container: &SerdeAttributes,
) -> Result<Option<TokenStream>> {
    attributes.refuse_own_functions()?;
    if attributes.shape_any {
        return Ok(Some(quote!(factstream::schema::Node::Any)));
    }
    if let Some(ty) = &attributes.shape_as {
        return Ok(Some(super::shape_of(ty)));
    }
    match &variant.fields {
        Fields::Unit => Ok(None),
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            let field = &fields.unnamed[0];
            value_of(field, &SerdeAttributes::read(&field.attrs)?).map(Some)
        }
        Fields::Unnamed(_) => tuple(&variant.fields).map(Some),
        Fields::Named(_) => {
            let rules = attributes.rename_all.clone().or(container.rename_all_fields.clone());
            // `default` on an enum is no default of its variants' fields.
            let plain = SerdeAttributes::default();
            let of = if container.has("deny_unknown_fields") { container } else { &plain };
            object(&variant.fields, of, &rules, None).map(Some)
        }
    }
}
