//! Circles among the modules of a crate, floor by floor: among the modules of the root, and among those of each module.
//!
//! What a module below takes counts for the one on the floor. That a module and those below it know each other is no circle: they are
//! one idea in several files.

use super::imports::{Imports, Module};
use std::collections::{BTreeMap, BTreeSet};

/// Who knows whom on one floor, and an example of how.
type Floor = BTreeMap<String, BTreeMap<String, String>>;

/// Every circle, in words.
pub(super) fn circles(imports: &Imports) -> Vec<String> {
    let mut floors: BTreeMap<Module, Floor> = BTreeMap::new();
    for (module, others) in &imports.of {
        for other in others {
            let shared = module.iter().zip(other).take_while(|(one, other)| one == other).count();
            if let (Some(one), Some(two)) = (module.get(shared), other.get(shared)) {
                let floor = floors.entry(module[..shared].to_vec()).or_default();
                let how = format!("{} takes from {}", module.join("::"), other.join("::"));
                floor.entry(one.clone()).or_default().entry(two.clone()).or_insert(how);
            }
        }
    }
    floors.values().flat_map(circles_of).collect()
}

/// The circles of one floor: modules that reach each other.
fn circles_of(floor: &Floor) -> Vec<String> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        floor.keys().map(|module| (module, reach(floor, module))).collect();
    let mut told: BTreeSet<&String> = BTreeSet::new();
    let mut found = Vec::new();
    for (module, beyond) in &reached {
        if !beyond.contains(module) || told.contains(module) {
            continue;
        }
        let circle: BTreeSet<&String> = beyond
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(module)))
            .copied()
            .collect();
        let ties = circle.iter().flat_map(|one| &floor[*one]).filter(|(other, _)| circle.contains(other));
        let ties: Vec<String> = ties.map(|(_, how)| format!("  {how}")).collect();
        found.push(format!("{circle:?}\n{}", ties.join("\n")));
        told.extend(circle);
    }
    found
}

/// What a module reaches, itself only by a circle.
fn reach<'a>(floor: &'a Floor, from: &str) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&String> = floor.get(from).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(module) = next.pop() {
        if found.insert(module) {
            next.extend(floor.get(module).into_iter().flat_map(BTreeMap::keys));
        }
    }
    found
}

#[test]
fn a_circle_is_found_across_folders_and_a_parent_with_its_children_is_none() {
    let module = |text: &str| -> Module { text.split("::").map(str::to_owned).collect() };
    let imports = |edges: &[(&str, &str)]| {
        let mut of: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (one, other) in edges {
            of.entry(module(one)).or_default().insert(module(other));
        }
        Imports { of }
    };
    let layers =
        [("app", "read::query"), ("read", "read::query"), ("read::query", "read"), ("app::x", "store")];
    assert_eq!(circles(&imports(&layers)), Vec::<String>::new());
    let circle = [("app", "read::query"), ("read::query", "store"), ("store::sql", "app")];
    let found = circles(&imports(&circle));
    assert!(found.len() == 1 && found[0].contains("store::sql takes from app"), "{found:?}");
}
