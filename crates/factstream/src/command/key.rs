//! What an idempotency key stands for: the name of its command, and a digest of its content. G4.

use crate::error::Error;
use factstream_core::aggregate::Aggregate;
use factstream_core::store::CommandKey;
use serde::Serialize;
use std::any::type_name;

/// A key for a command of type `C` that stands for `content`.
pub(super) fn command_key<A: Aggregate, C>(
    key: String,
    content: &(impl Serialize + ?Sized),
) -> Result<CommandKey, Error> {
    let command = without_paths(type_name::<C>());
    CommandKey::new(key, format!("{}/{command}", A::TYPE))?
        .with_content(content)
        .map_err(|source| Error::Encode { what: format!("the command {command}"), source })
}

/// A type's name without its modules, and without those of its parameters: they may move.
pub(super) fn without_paths(type_name: &str) -> String {
    let mut short = String::new();
    for part in type_name.split_inclusive("::") {
        match part.strip_suffix("::") {
            Some(module) => {
                let kept = module.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
                short.push_str(kept);
            }
            None => short.push_str(part),
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::without_paths;

    #[test]
    fn a_commands_name_has_its_parameters_and_no_modules() {
        for (full, short) in [
            ("shop::orders::Create", "Create"),
            ("Create", "Create"),
            ("shop::Set<shop::red::Paint, core::option::Option<u8>>", "Set<Paint, Option<u8>>"),
            ("(a::B, &c::D)", "(B, &D)"),
        ] {
            assert_eq!(without_paths(full), short);
        }
    }
}
