//! Which module of a crate takes names from which: read from `use` and from paths within the code.
//!
//! A name counts where it is defined: one that a module only passes on (`pub use`) is followed.

use super::read;
use super::tokens::tokens;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module's place: the names from the crate's root to it.
pub(super) type Module = Vec<String>;
type Names = Vec<String>;

/// The modules of one crate, and what each takes from others.
pub(super) struct Imports {
    pub(super) of: BTreeMap<Module, BTreeSet<Module>>,
}

#[derive(Default)]
struct Code {
    /// All paths in it.
    paths: BTreeSet<Names>,
    /// What the names stand for that it imports.
    imported: BTreeMap<String, Names>,
}

/// Steps that a name is followed.
const STEPS_MAX: usize = 8;

impl Imports {
    /// Reads the crate with this root file.
    pub(super) fn of(root: &Path) -> Self {
        let mut modules = BTreeMap::new();
        add(root, root.parent().expect("a file lies in a folder"), Vec::new(), &mut modules);
        let of = modules.iter().map(|(module, code)| {
            let found = code.paths.iter().filter_map(|path| resolve(&modules, module, path, 0));
            (module.clone(), found.filter(|other| other != module).collect())
        });
        Self { of: of.collect() }
    }
}

/// Reads a module's file, and those of the modules that it declares.
fn add(file: &Path, folder: &Path, module: Module, modules: &mut BTreeMap<Module, Code>) {
    let text = read(file);
    let words = tokens(&text);
    let mut code = Code::default();
    let mut rest = &words[..];
    while let Some((word, more)) = rest.split_first() {
        match (*word, more) {
            ("mod", [name, ";", ..]) => {
                let (own, below) = (folder.join(format!("{name}.rs")), folder.join(name));
                let file = if own.exists() { own } else { below.join("mod.rs") };
                if file.exists() {
                    let child = module.iter().cloned().chain([(*name).to_owned()]).collect();
                    add(&file, &below, child, modules);
                }
                rest = more;
            }
            ("use", ["<", ..]) => rest = more, // what a type captures
            ("use", _) => rest = names(more, &Vec::new(), &mut code),
            _ => {
                let length = path_length(rest);
                if length > 1 {
                    code.paths.insert(rest[..length].iter().step_by(2).map(ToString::to_string).collect());
                }
                rest = &rest[length.max(1)..];
            }
        }
    }
    modules.insert(module, code);
}

/// How many words a path has that stands here: `a :: b :: c`.
fn path_length(words: &[&str]) -> usize {
    let is_name = |word: &&str| word.starts_with(|sign: char| sign.is_alphabetic() || sign == '_');
    let mut length = usize::from(words.first().is_some_and(is_name));
    while length > 0 && words.get(length) == Some(&"::") && words.get(length + 1).is_some_and(is_name) {
        length += 2;
    }
    length
}

/// Takes in what a `use` names after `before`; what follows it.
fn names<'a, 'b>(words: &'b [&'a str], before: &Names, code: &mut Code) -> &'b [&'a str] {
    let mut path = before.clone();
    let mut rest = words;
    loop {
        match rest {
            ["::", more @ ..] => rest = more,
            ["{", more @ ..] => {
                rest = more;
                loop {
                    rest = match rest {
                        ["}", more @ ..] => return more,
                        [",", more @ ..] => more,
                        [] => return rest,
                        _ => names(rest, &path, code),
                    };
                }
            }
            ["as", name, more @ ..] => {
                code.imported.insert((*name).to_owned(), path.clone());
                code.paths.insert(path);
                return more;
            }
            ["self", more @ ..] if !path.is_empty() => rest = more,
            [sign @ ("," | ";" | "}"), ..] => {
                code.imported.insert(path.last().cloned().unwrap_or_default(), path.clone());
                code.paths.insert(path);
                return if *sign == ";" { &rest[1..] } else { rest };
            }
            [name, more @ ..] => {
                path.push((*name).to_owned());
                rest = more;
            }
            [] => return rest,
        }
    }
}

/// The module in which a path ends, seen from this one; `None` where it leads out of the crate.
fn resolve(modules: &BTreeMap<Module, Code>, from: &Module, path: &[String], step: usize) -> Option<Module> {
    if step > STEPS_MAX {
        return None;
    }
    let mut rest = path;
    let mut at = match rest.split_first()? {
        (first, more) if first == "crate" => {
            rest = more;
            Vec::new()
        }
        (first, more) if first == "self" => {
            rest = more;
            from.clone()
        }
        (first, _) if first == "super" => from.clone(),
        (first, more) => {
            let child: Module = from.iter().cloned().chain([first.clone()]).collect();
            if !modules.contains_key(&child) {
                let known = modules[from].imported.get(first).filter(|known| known.first() != Some(first))?;
                let whole: Names = known.iter().chain(more).cloned().collect();
                return resolve(modules, from, &whole, step + 1);
            }
            from.clone()
        }
    };
    while let Some((name, more)) = rest.split_first() {
        let child: Module = at.iter().cloned().chain([name.clone()]).collect();
        if name == "super" {
            at.pop();
        } else if modules.contains_key(&child) {
            at = child;
        } else if let Some(known) = modules.get(&at)?.imported.get(name) {
            let whole: Names = known.iter().chain(more).cloned().collect();
            return resolve(modules, &at, &whole, step + 1).or(Some(at));
        } else {
            break;
        }
        rest = more;
    }
    Some(at)
}
