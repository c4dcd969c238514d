//! Fields: their names, when they are written, and whether they must be there.

use super::Shaped;
use crate::renaming::Rule;
use crate::serde_attributes::{Both, Names, SerdeAttributes};
use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, Field, Fields, GenericArgument, PathArguments, Result, Type};

pub(crate) fn shape_of(ty: &Type) -> TokenStream {
    quote!(<#ty as factstream::schema::Shape>::shape(shapes))
}

/// The shape of a field's value, whatever its name.
pub(super) fn value_of(field: &Field, attributes: &SerdeAttributes) -> Result<TokenStream> {
    attributes.refuse_own_functions()?;
    Ok(match (&attributes.shape_as, attributes.shape_any) {
        (Some(ty), _) => shape_of(ty),
        (None, true) => quote!(factstream::schema::Node::Any),
        (None, false) => shape_of(&field.ty),
    })
}

/// An object with these fields, and with a field for the type's name where it is tagged.
pub(super) fn object(
    fields: &Fields,
    container: &SerdeAttributes,
    rules: &Both<Rule>,
    tag: Option<(&str, String)>,
) -> Result<TokenStream> {
    let denies = container.has("deny_unknown_fields");
    let tag = tag.map(|(tag, name)| {
        quote! {
            .of_shape(
                factstream::schema::Node::Word { written: #name.into(), read: ::std::vec::Vec::new(), other: false },
                #tag,
                &[],
                factstream::schema::Written::Always,
                factstream::schema::Reading::Never,
            )
        }
    });
    let added = fields.iter().map(|field| added(field, container.has("default"), rules));
    let added = added.collect::<Result<Vec<_>>>()?;
    Ok(quote!({
        let _ = &shapes;
        let object = factstream::schema::ObjectShape::new(#denies) #tag;
        #(#added)*
        object.build()
    }))
}

fn added(field: &Field, all_have_defaults: bool, rules: &Both<Rule>) -> Result<TokenStream> {
    let attributes = SerdeAttributes::read(&field.attrs)?;
    if !attributes.is_written() && !attributes.is_read() {
        return Ok(TokenStream::new());
    }
    if attributes.has("flatten") {
        let part = value_of(field, &attributes)?;
        let flatten = if attributes.skip_if.is_some() { quote!(flatten_sometimes) } else { quote!(flatten) };
        return Ok(quote! {
            let part = #part;
            let object = object.#flatten(part, shapes);
        });
    }
    let plain = field.ident.as_ref().map(|ident| ident.unraw().to_string()).unwrap_or_default();
    let Names { written: name, read } = attributes.names(&plain, rules, Rule::field);
    let written = when_written(field, &attributes);
    let reading = match () {
        () if !attributes.is_read() => quote!(Never),
        () if attributes.has("default") || all_have_defaults => quote!(Optional),
        () => quote!(Required),
    };
    let rest = quote! {
        #name, &[#(#read),*], factstream::schema::Written::#written, factstream::schema::Reading::#reading
    };
    let has_own_reader = attributes.has("with") || attributes.has("deserialize_with");
    attributes.refuse_own_functions()?;
    Ok(match (&attributes.shape_as, attributes.shape_any) {
        (Some(ty), _) if !has_own_reader => quote!(let object = object.field::<#ty>(shapes, #rest);),
        (None, false) => {
            let ty = &field.ty;
            quote!(let object = object.field::<#ty>(shapes, #rest);)
        }
        _ => {
            let value = value_of(field, &attributes)?;
            quote! {
                let value = #value;
                let object = object.of_shape(value, #rest);
            }
        }
    })
}

fn when_written(field: &Field, attributes: &SerdeAttributes) -> TokenStream {
    let is_none = |path: &str| path.split("::").last().is_some_and(|name| name.trim() == "is_none");
    match &attributes.skip_if {
        _ if !attributes.is_written() => quote!(Never),
        None => quote!(Always),
        // `Some(None)` of an option of an option is written, as null.
        Some(path) if is_none(path) && !is_option_of_option(&field.ty) => quote!(UnlessNull),
        Some(_) => quote!(Sometimes),
    }
}

fn is_option_of_option(ty: &Type) -> bool {
    inside_option(ty).is_some_and(|inner| inside_option(inner).is_some())
}

fn inside_option(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// One unnamed field is its value, several are a list.
pub(super) fn tuple(fields: &Fields) -> Result<TokenStream> {
    let mut values = Vec::new();
    for field in fields {
        let attributes = SerdeAttributes::read(&field.attrs)?;
        let odd = ["skip", "skip_serializing", "skip_deserializing", "default", "flatten"];
        if let Some((word, span)) =
            odd.into_iter().find_map(|word| attributes.flag(word).map(|span| (word, span)))
        {
            let text = format!(
                "serde({word}) on an unnamed field: its place in the list is not certain; give the fields names"
            );
            return Err(Error::new(span, text));
        }
        values.push(value_of(field, &attributes)?);
    }
    Ok(match values.as_slice() {
        [only] => quote!({ #only }),
        values => quote! {
            factstream::schema::Node::Tuple { items: ::std::vec![#(#values),*] }
        },
    })
}

/// `serde(transparent)`: the one field that is not skipped.
pub(super) fn transparent(fields: &Fields) -> Result<Shaped> {
    for field in fields {
        let attributes = SerdeAttributes::read(&field.attrs)?;
        let is_passed_over = !attributes.is_written() || attributes.has("default") || is_phantom(&field.ty);
        if is_passed_over {
            continue;
        }
        let node = value_of(field, &attributes)?;
        let ty = attributes.shape_as.as_ref().unwrap_or(&field.ty);
        let absent_ok = if attributes.shape_any {
            quote!(false)
        } else {
            quote!(<#ty as factstream::schema::Shape>::ABSENT_OK)
        };
        return Ok(Shaped { node: quote!({ let _ = &shapes; #node }), absent_ok });
    }
    Err(Error::new(fields.span(), "serde(transparent) needs one field"))
}

fn is_phantom(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "PhantomData"))
}
