//! `#[derive(ReadModel)]`: a struct's fields as the columns of a table, and the way of a row in and out.
//!
//! Invariants: at least one column is the key, and none of the key is ever NULL or JSON.

use crate::attributes::{ColumnAttribute, is_sql_name, refuse_generics, table_name};
use crate::framework;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use std::collections::HashSet;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, Ident, Result, Type};

struct Column<'a> {
    field: &'a Ident,
    ty: &'a Type,
    name: String,
    attribute: ColumnAttribute,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let columns = columns(input)?;
    refuse_generics(input, "a read model")?;
    let table = table_name(input)?;
    let import = framework::import(&input.attrs, "read_model")?;
    let keys = keys(input, &columns)?;
    let key = Key::of(&keys, &columns);
    let ident = &input.ident;
    let names = format_ident!("{}Columns", ident.unraw());
    let comparable: Vec<&Column<'_>> =
        columns.iter().filter(|column| column.attribute.json.is_none()).collect();
    let (fields, types): (Vec<_>, Vec<_>) = comparable.iter().map(|column| (column.field, column.ty)).unzip();
    let makes = comparable.iter().map(|column| column.typed());
    let descriptions = columns.iter().map(Column::description);
    let values = columns.iter().map(Column::value);
    let moved_values = columns.iter().map(Column::moved_value);
    let reads = columns.iter().map(Column::read);
    let not_null = keys.iter().map(|key| columns[*key].key_is_never_null());
    let Key { ty: key_type, from_row: of_row, from_parts: of_key, from_id } = key;
    Ok(quote! {
        const _: () = {
            #import

            #(#not_null)*

            #[doc(hidden)]
            #[allow(
                dead_code, deprecated, missing_debug_implementations, missing_docs, private_interfaces, unreachable_pub, unnameable_types,
                clippy::exhaustive_structs
            )]
            pub struct #names {
                #(pub #fields: factstream::read_model::TypedColumn<#ident, #types>,)*
            }

            #[automatically_derived]
            #[allow(deprecated)]
            impl ::core::default::Default for #names {
                fn default() -> Self {
                    Self { #(#fields: #makes,)* }
                }
            }

            #[automatically_derived]
            #[allow(deprecated)]
            impl factstream::read_model::ReadModel for #ident {
                const TABLE: &'static str = #table;
                const COLUMNS: &'static [factstream::read_model::Column] = &[#(#descriptions),*];
                const KEY: &'static [usize] = &[#(#keys),*];

                type Key = #key_type;
                type Columns = #names;

                fn key(
                    &self,
                ) -> ::core::result::Result<factstream::read_model::RowKey, factstream::read_model::KeyError> {
                    #of_row
                }

                fn key_of(
                    key: Self::Key,
                ) -> ::core::result::Result<factstream::read_model::RowKey, factstream::read_model::KeyError> {
                    #of_key
                }

                fn key_from_id(id: &str) -> ::core::option::Option<Self::Key> {
                    #from_id
                }

                fn to_row(
                    &self,
                ) -> ::core::result::Result<
                    ::std::vec::Vec<factstream::sql::Value>,
                    factstream::derive_support::serde_json::Error,
                > {
                    ::core::result::Result::Ok(::std::vec![#(#values),*])
                }

                fn into_row(
                    self,
                ) -> ::core::result::Result<
                    ::std::vec::Vec<factstream::sql::Value>,
                    factstream::derive_support::serde_json::Error,
                > {
                    ::core::result::Result::Ok(::std::vec![#(#moved_values),*])
                }

                fn from_row(
                    row: &factstream::sql::Row,
                ) -> ::core::result::Result<Self, factstream::sql::RowError> {
                    ::core::result::Result::Ok(Self { #(#reads),* })
                }
            }
        };
    })
}

fn columns(input: &DeriveInput) -> Result<Vec<Column<'_>>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "a read model is a struct: one field for each column of its row",
        ));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(
            input.ident.span(),
            "a read model has named fields: one for each column of its row",
        ));
    };
    let mut names = HashSet::new();
    let columns = fields.named.iter().map(|field| column(field, &mut names));
    columns.collect()
}

fn column<'a>(field: &'a Field, names: &mut HashSet<String>) -> Result<Column<'a>> {
    let attribute = ColumnAttribute::read(&field.attrs)?;
    let ident = field.ident.as_ref().ok_or_else(|| Error::new(field.span(), "a column has a name"))?;
    let (name, span) = match &attribute.name {
        Some(name) => (name.value(), name.span()),
        None => (ident.unraw().to_string(), ident.span()),
    };
    if !is_sql_name(&name) {
        let text = "a column's name has 1 to 48 characters of a-z, 0-9 and '_' and begins with a letter or '_'; say #[column(name = \"..\")]";
        return Err(Error::new(span, text));
    }
    if !names.insert(name.clone()) {
        return Err(Error::new(span, format!("two columns are called {name}; give each a name of its own")));
    }
    if attribute.text.is_some() && is_option(&field.ty) {
        let text = "text needs Display and FromStr, which no Option has; keep it as #[column(json)]";
        return Err(Error::new(field.ty.span(), text));
    }
    Ok(Column { field: ident, ty: &field.ty, name, attribute })
}

fn is_option(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == "Option")
}

fn keys(input: &DeriveInput, columns: &[Column<'_>]) -> Result<Vec<usize>> {
    let keys: Vec<usize> = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.attribute.key.is_some())
        .map(|(at, _)| at)
        .collect();
    let advice = "a read model has a key: put #[column(key)] on the field, or the fields, that name the row";
    if keys.is_empty() { Err(Error::new(input.ident.span(), advice)) } else { Ok(keys) }
}

/// The type of a row's key, and the ways to it.
struct Key {
    ty: TokenStream,
    from_row: TokenStream,
    from_parts: TokenStream,
    from_id: TokenStream,
}

impl Key {
    fn of(keys: &[usize], columns: &[Column<'_>]) -> Self {
        let of_row = keys.iter().map(|key| columns[*key].key_value());
        if let [key] = keys {
            let (column, ty) = (&columns[*key], columns[*key].ty);
            let of_key = column.value_of(&quote!(key));
            let from_id = if column.is_plain() {
                quote_spanned!(ty.span()=> <#ty as factstream::sql::FromValue>::from_value(&factstream::sql::Value::from(id)))
            } else {
                quote_spanned!(ty.span()=> <#ty as ::core::str::FromStr>::from_str(id).ok())
            };
            return Self {
                ty: quote!(#ty),
                from_row: quote!(#(factstream::read_model::RowKey::of(#of_row))*),
                from_parts: quote!(factstream::read_model::RowKey::of(#of_key)),
                from_id,
            };
        }
        let parts: Vec<Ident> = (0..keys.len()).map(|at| format_ident!("part_{at}")).collect();
        let types = keys.iter().map(|key| columns[*key].ty);
        let values = keys.iter().zip(&parts).map(|(key, part)| columns[*key].value_of(&quote!(#part)));
        Self {
            ty: quote!((#(#types),*)),
            from_row: quote!(factstream::read_model::RowKey::several([#(#of_row),*])),
            from_parts: quote! {
                let (#(#parts),*) = key;
                factstream::read_model::RowKey::several([#(#values),*])
            },
            from_id: quote! {
                let _ = id;
                ::core::option::Option::None
            },
        }
    }
}

impl Column<'_> {
    fn description(&self) -> TokenStream {
        let (name, ty, index) = (&self.name, self.ty, self.attribute.index.is_some());
        let (sql_type, nullable) = if self.is_plain() {
            (
                quote_spanned!(ty.span()=> <#ty as factstream::read_model::ColumnValue>::SQL_TYPE),
                quote_spanned!(ty.span()=> <#ty as factstream::read_model::ColumnValue>::NULLABLE),
            )
        } else {
            (quote!("TEXT"), quote!(false))
        };
        quote!(factstream::read_model::Column::new(#name, #sql_type).nullable(#nullable).index(#index))
    }

    fn is_plain(&self) -> bool {
        self.attribute.json.is_none() && self.attribute.text.is_none()
    }

    fn value(&self) -> TokenStream {
        let field = self.field;
        if self.attribute.json.is_some() {
            quote!(factstream::sql::Value::Text(factstream::derive_support::serde_json::to_string(&self.#field)?))
        } else {
            self.key_value()
        }
    }

    /// The value, made of the field itself where that is possible.
    fn moved_value(&self) -> TokenStream {
        let (field, ty) = (self.field, self.ty);
        if self.is_plain() {
            quote_spanned!(ty.span()=> <#ty as factstream::read_model::ColumnValue>::into_value(self.#field))
        } else {
            self.value()
        }
    }

    /// The column as conditions name it.
    fn typed(&self) -> TokenStream {
        let (name, ty) = (&self.name, self.ty);
        let value = self.value_of(&quote!(value));
        quote_spanned!(ty.span()=> factstream::read_model::TypedColumn::new(#name, |value: #ty| #value))
    }

    /// What a value of the field's type, which is not needed any more, is in a column that is not JSON.
    fn value_of(&self, value: &TokenStream) -> TokenStream {
        let ty = self.ty;
        if self.attribute.text.is_some() {
            quote!(factstream::sql::Value::Text(::std::string::ToString::to_string(&#value)))
        } else {
            quote_spanned!(ty.span()=> <#ty as factstream::read_model::ColumnValue>::into_value(#value))
        }
    }

    /// The value of a column that is not JSON, so that writing it cannot fail.
    fn key_value(&self) -> TokenStream {
        let (field, ty) = (self.field, self.ty);
        if self.attribute.text.is_some() {
            quote!(factstream::sql::Value::Text(::std::string::ToString::to_string(&self.#field)))
        } else {
            quote_spanned!(ty.span()=> <#ty as factstream::read_model::ColumnValue>::to_value(&self.#field))
        }
    }

    fn read(&self) -> TokenStream {
        let (field, ty, name) = (self.field, self.ty, &self.name);
        if self.is_plain() {
            let read = quote_spanned!(ty.span()=> factstream::derive_support::read_column::<#ty>);
            return quote!(#field: #read(row, #name)?);
        }
        let parse = if self.attribute.json.is_some() {
            quote!(factstream::derive_support::serde_json::from_str::<#ty>(&text).ok())
        } else {
            quote!(<#ty as ::core::str::FromStr>::from_str(&text).ok())
        };
        quote! {
            #field: {
                let text = row.get::<::std::string::String>(#name)?;
                #parse.ok_or_else(|| factstream::sql::RowError::WrongType {
                    column: ::std::string::String::from(#name),
                    wanted: ::core::any::type_name::<#ty>(),
                    found: "text that does not fit",
                })?
            }
        }
    }

    fn key_is_never_null(&self) -> TokenStream {
        let ty = self.ty;
        if !self.is_plain() {
            return TokenStream::new();
        }
        quote_spanned! {ty.span()=>
            const _: () = ::core::assert!(
                !<#ty as factstream::read_model::ColumnValue>::NULLABLE,
                "the key of a read model is never NULL: take the Option away",
            );
        }
    }
}
