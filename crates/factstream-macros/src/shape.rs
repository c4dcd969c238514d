//! `#[derive(Shape)]`: what a type's JSON looks like, from its fields and serde's attributes.
//!
//! Invariant: what the attributes hide is not guessed. It is refused, with what to write instead.

mod fields;
mod variants;

use crate::framework;
use crate::serde_attributes::SerdeAttributes;
use fields::{object, shape_of, transparent, tuple};
use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Data, DataStruct, DeriveInput, Error, Fields, GenericParam, Ident, Result, Type, parse_quote};
pub(crate) use variants::content_of;

/// The shape of a type, and whether a missing field of it is read as empty.
pub(crate) struct Shaped {
    pub(crate) node: TokenStream,
    pub(crate) absent_ok: TokenStream,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let import = framework::import(&input.attrs, "shape")?;
    let attributes = SerdeAttributes::read(&input.attrs)?;
    let Shaped { node, absent_ok } = whole(input, &attributes)?;
    let (ident, name) = (&input.ident, input.ident.unraw().to_string());
    let mut generics = input.generics.clone();
    for parameter in &mut generics.params {
        if let GenericParam::Type(parameter) = parameter {
            parameter.bounds.push(parse_quote!(factstream::schema::Shape));
        }
    }
    let (in_impl, of_type, conditions) = generics.split_for_impl();
    Ok(quote! {
        const _: () = {
            #import

            #[automatically_derived]
            #[allow(deprecated)]
            impl #in_impl factstream::schema::Shape for #ident #of_type #conditions {
                const ABSENT_OK: bool = #absent_ok;

                fn shape(shapes: &mut factstream::schema::Shapes) -> factstream::schema::Node {
                    shapes.named(::core::any::type_name::<Self>(), #name, |shapes| #node)
                }
            }
        };
    })
}

fn whole(input: &DeriveInput, attributes: &SerdeAttributes) -> Result<Shaped> {
    let shaped = |node| Shaped { node, absent_ok: quote!(false) };
    if attributes.shape_any {
        return Ok(shaped(quote!({
            let _ = shapes;
            factstream::schema::Node::Any
        })));
    }
    if let Some(ty) = &attributes.shape_as {
        return Ok(shaped(shape_of(ty)));
    }
    if let Some(through) = through_another(&input.ident, attributes)? {
        let node = shape_of(&through);
        return Ok(Shaped { node, absent_ok: quote!(<#through as factstream::schema::Shape>::ABSENT_OK) });
    }
    match &input.data {
        Data::Struct(DataStruct { fields, .. }) if attributes.has("transparent") => transparent(fields),
        Data::Struct(DataStruct { fields, .. }) => structure(input, fields, attributes).map(shaped),
        Data::Enum(data) => variants::enumeration(data, attributes).map(shaped),
        Data::Union(_) => Err(Error::new(input.ident.span(), "a union has no JSON; use a struct or an enum")),
    }
}

fn structure(input: &DeriveInput, fields: &Fields, attributes: &SerdeAttributes) -> Result<TokenStream> {
    match fields {
        Fields::Unit => Ok(quote!({
            let _ = shapes;
            factstream::schema::Node::Null
        })),
        Fields::Unnamed(_) => tuple(fields),
        Fields::Named(_) => {
            let tag = attributes.tag.as_ref().map(|tag| {
                let plain = input.ident.unraw().to_string();
                (tag.as_str(), attributes.rename.write.clone().unwrap_or(plain))
            });
            object(fields, attributes, &attributes.rename_all, tag)
        }
    }
}

/// The type through which it is written and read (`serde(from, into)`).
fn through_another(ident: &Ident, attributes: &SerdeAttributes) -> Result<Option<Type>> {
    for word in ["try_from", "remote", "variant_identifier", "field_identifier"] {
        if let Some(span) = attributes.flag(word) {
            let text = format!(
                "serde({word}) may refuse what another type takes, so the JSON of {ident} is not known; say it: #[shape(as = \"String\")] with the type whose JSON it is, or #[shape(any)]"
            );
            return Err(Error::new(span, text));
        }
    }
    match (&attributes.from, &attributes.into) {
        (None, None) => Ok(None),
        (Some(from), Some(into)) if from == into => syn::parse_str(from).map(Some),
        _ => {
            let text = format!(
                "{ident} is written as one type and read as another; say what its JSON is: #[shape(as = \"String\")], or #[shape(any)]"
            );
            Err(Error::new(ident.span(), text))
        }
    }
}
