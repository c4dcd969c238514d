//! What the framework is called in the crate that derives: `factstream`, another name in its Cargo.toml, or a path that is given.
//!
//! Generated code says `factstream::..` and stands in a block of its own, which begins with an import of that name where the crate
//! knows the framework by another.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use std::path::{Path, PathBuf};
use syn::{Attribute, Ident, LitStr, Result};

/// The import that the generated code begins with: from `crate = ".."` in the attribute of this name, else from the Cargo.toml.
pub(crate) fn import(attributes: &[Attribute], name: &str) -> Result<TokenStream> {
    let mut given: Option<LitStr> = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("crate") {
                given = Some(meta.value()?.parse()?);
            } else if meta.input.peek(syn::Token![=]) {
                let _: syn::Expr = meta.value()?.parse()?; // another key's, which is read elsewhere
            }
            Ok(())
        })?;
    }
    if let Some(given) = given {
        let path: syn::Path = given.parse()?;
        return Ok(quote!(#[allow(unused_imports)] use #path as factstream;));
    }
    Ok(match renamed() {
        Some(name) => {
            let name = Ident::new(&name, Span::call_site());
            quote!(#[allow(unused_imports)] use ::#name as factstream;)
        }
        None => TokenStream::new(),
    })
}

/// The other name that the crate under compilation gives the framework.
fn renamed() -> Option<String> {
    let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let own = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    match dependency(&own)? {
        Found::Named(name) => Some(name),
        // Workspace members take the name that the workspace gives it.
        Found::OfWorkspace(candidates) => {
            let root = folder.ancestors().skip(1).find_map(workspace)?;
            match dependency(&root)? {
                Found::Named(name) if candidates.contains(&name) => Some(name),
                _ => None,
            }
        }
    }
}

fn workspace(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    text.contains("[workspace").then_some(text)
}

enum Found {
    Named(String),
    /// Dependencies of which the workspace says what they are.
    OfWorkspace(Vec<String>),
}

/// The dependency whose package is the framework and whose name is another; `None` where it has its own name.
fn dependency(manifest: &str) -> Option<Found> {
    let mut candidates = Vec::new();
    let mut table = "";
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_end_matches(']');
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        // `[dependencies.fs]` says the name in its header, `fs = { .. }` in its key.
        let (in_header, name) = match table.rsplit_once("dependencies.") {
            Some((_, name)) => (true, name),
            None if table.ends_with("dependencies") => (false, key.trim().trim_end_matches(".workspace")),
            None => continue,
        };
        let name = name.trim().trim_matches('"').replace('-', "_");
        let package = match (in_header, key.trim()) {
            (true, "package") => Some(value),
            (true, _) => None,
            (false, _) => {
                value.split_once("package").and_then(|(_, rest)| rest.trim_start().strip_prefix('='))
            }
        };
        let is_framework = |value: &str| value.trim_start().starts_with("\"factstream\"");
        if package.is_some_and(is_framework) {
            return (name != "factstream").then_some(Found::Named(name));
        }
        if package.is_none() && name == "factstream" {
            return None;
        }
        if package.is_none() && line.contains("workspace") {
            candidates.push(name);
        }
    }
    Some(Found::OfWorkspace(candidates))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(manifest: &str) -> Option<String> {
        match dependency(manifest)? {
            Found::Named(name) => Some(name),
            Found::OfWorkspace(_) => None,
        }
    }

    #[test]
    fn a_renamed_dependency_is_found_however_it_is_written() {
        let fs = Some("event_store".to_owned());
        let inline = "[package]\nname = \"a\"\n[dependencies]\nserde = \"1\"\n";
        assert_eq!(
            name(&format!("{inline}event-store = {{ version = \"0.1\", package = \"factstream\" }}\n")),
            fs
        );
        assert_eq!(name("[dependencies.event-store]\nversion = \"0.1\"\npackage = \"factstream\"\n"), fs);
        assert_eq!(
            name("[workspace.dependencies]\nevent_store = { package = \"factstream\", path = \"x\" }\n"),
            fs
        );
        assert_eq!(
            name("[dependencies]\nfactstream = \"0.1\"\nother = { package = \"factstream-core\" }\n"),
            None
        );
        assert_eq!(name("[dependencies]\nfactstream.workspace = true\n"), None);
        let Some(Found::OfWorkspace(candidates)) =
            dependency("[dependencies]\nevent-store.workspace = true\n")
        else {
            panic!("the workspace says what it is");
        };
        assert_eq!(candidates, ["event_store"]);
    }
}
