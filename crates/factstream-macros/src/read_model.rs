//! `#[derive(ReadModel)]`: a struct's fields as the columns of a table, and the way of a row in and out.
//!
//! Invariants: exactly one column is the key and it is never NULL; writing the key cannot fail, so it is not JSON.

use crate::attributes::{ColumnAttribute, is_sql_name, refuse_generics, table_name};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
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
    let key = key(input, &columns)?;
    let ident = &input.ident;
    let descriptions = columns.iter().map(Column::description);
    let values = columns.iter().map(Column::value);
    let moved_values = columns.iter().map(Column::moved_value);
    let reads = columns.iter().map(Column::read);
    let key_value = columns[key].key_value();
    let not_null = columns[key].key_is_never_null();
    Ok(quote! {
        const _: () = {
            #not_null

            #[automatically_derived]
            #[allow(deprecated)]
            impl factstream::read_model::ReadModel for #ident {
                const TABLE: &'static str = #table;
                const COLUMNS: &'static [factstream::read_model::Column] = &[#(#descriptions),*];
                const KEY: usize = #key;

                fn key(&self) -> factstream::sql::Value {
                    #key_value
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

fn key(input: &DeriveInput, columns: &[Column<'_>]) -> Result<usize> {
    let mut keys = columns.iter().enumerate().filter_map(|(at, column)| Some((at, column.attribute.key?)));
    let advice = "a read model has one key: put #[column(key)] on the field that names the row";
    let (key, _) = keys.next().ok_or_else(|| Error::new(input.ident.span(), advice))?;
    match keys.next() {
        Some((_, span)) => {
            Err(Error::new(span, "a read model has one key; remove this one, or join the two into one field"))
        }
        None => Ok(key),
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
        quote!(factstream::read_model::Column { name: #name, sql_type: #sql_type, nullable: #nullable, index: #index })
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
