//! The comparison against serde: what it calls readable is read, and what it calls unreadable is mostly refused.

use super::catalogue::{Entry, all};
use crate::schema::{Contract, Reader, flaws, misfits, sample};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

/// A value that `of` may write, with these choices; what serde makes of it when it is read and written.
fn written(of: &Entry, choices: &[u8]) -> Option<Value> {
    let mut choices = choices.iter().copied().cycle();
    let made =
        sample(&of.schema, Contract::Write, &mut |ways| usize::from(choices.next().unwrap_or(0)) % ways);
    // What is only written cannot be read back, and is taken as it is made.
    (of.rewrite)(&made.to_string()).ok().or(Some(made))
}

#[test]
fn every_type_reads_and_writes_what_its_shape_says() {
    for of in all() {
        let found = flaws(&of.schema, |json| (of.read)(json));
        let is_known = of.name.ends_with("OneOnlyRead")
            || of.name.ends_with("OneOnlyWritten")
            || of.name.ends_with("OneRenameApart")
            || of.name.ends_with("UnitsApart");
        assert!(found.is_empty() || is_known, "{}: {found:?}\n{:#?}", of.name, of.schema);
    }
}

#[test]
fn whatever_is_called_readable_serde_reads() {
    let all = all();
    let mut runner = TestRunner::new(Config { cases: 6_000, ..Config::default() });
    let pairs = (0..all.len(), 0..all.len(), proptest::collection::vec(any::<u8>(), 24));
    runner
        .run(&pairs, |(writer, reader, choices)| {
            let (writer, reader) = (&all[writer], &all[reader]);
            if misfits(&writer.schema, &reader.schema, Reader::Factstream).is_empty()
                && let Some(value) = written(writer, &choices)
            {
                let read = (reader.read)(&value.to_string());
                prop_assert!(read.is_ok(), "{} -> {}: {value}: {read:?}", writer.name, reader.name);
            }
            Ok(())
        })
        .expect("the comparison is sound");
}

/// All pairs, with the smallest, the fullest and some mixed values: what is refused without need is rare.
#[test]
fn what_is_called_unreadable_is_mostly_refused_by_serde() {
    let all = all();
    let (mut needless, mut refused) = (Vec::new(), 0);
    for writer in &all {
        let mixed =
            (0..12_u8).map(|seed| (0..24).map(|at| seed.wrapping_mul(37).wrapping_add(at * 11)).collect());
        let choices: Vec<Vec<u8>> = [vec![0], vec![1], vec![2], vec![3]].into_iter().chain(mixed).collect();
        let values: Vec<String> = choices
            .iter()
            .filter_map(|choices| written(writer, choices))
            .map(|value| value.to_string())
            .collect();
        for reader in &all {
            let is_read = values.iter().all(|value| (reader.read)(value).is_ok());
            if misfits(&writer.schema, &reader.schema, Reader::Factstream).is_empty() {
                assert!(is_read, "{} -> {}", writer.name, reader.name);
            } else if is_read {
                needless.push(format!("{} -> {}", writer.name, reader.name));
            } else {
                refused += 1;
            }
        }
    }
    assert!(needless.len() * 20 < refused, "{} of {refused}:\n{}", needless.len(), needless.join("\n"));
}
