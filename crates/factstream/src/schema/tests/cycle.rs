//! A folder over several releases: written, changed, waived, compared with another revision.

use super::*;
use crate::schema::{BlessError, Format};
use std::process::Command;

events!(Noted { #[event(name = "OrderPlaced")] Placed { id: String, total: u32, #[serde(default)] note: Option<String> } });
events!(Needed { #[event(name = "OrderPlaced")] Placed { id: String, total: u32, note: String } });
events!(Shorter { #[event(name = "OrderPlaced")] Placed { id: String } });

fn check<E: Event>(folder: &Path) -> Report {
    catalogue::<E>().check(&Folder::read(folder).unwrap())
}

#[test]
fn what_is_blessed_passes_and_what_changes_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(check::<First>(at).findings[0].code, "not-locked");
    catalogue::<First>().bless(at).unwrap();
    assert_eq!(
        files(at),
        [
            "OrderPlaced.v1.fullest.expected.json",
            "OrderPlaced.v1.fullest.json",
            "OrderPlaced.v1.json",
            "OrderPlaced.v1.smallest.expected.json",
            "OrderPlaced.v1.smallest.json",
        ]
    );
    assert!(check::<First>(at).findings.is_empty());
    assert_eq!(catalogue::<First>().bless(at).unwrap().len(), 0, "a second bless writes nothing");
    let stale = check::<Noted>(at);
    // What a sample becomes has a new field, too.
    assert!(!stale.passes(), "{stale}");
    assert!(
        stale.findings.iter().all(|finding| ["stale", "golden-changed"].contains(&finding.code)),
        "{stale}"
    );
    let pending = catalogue::<Noted>().pending(&Folder::read(at).unwrap());
    assert!(pending[0].to_string().contains("+ "), "{}", pending[0]);
    catalogue::<Noted>().bless(at).unwrap();
    assert!(check::<Noted>(at).findings.is_empty());
    let lock = Folder::read(at).unwrap().locks().next().unwrap().clone();
    assert_eq!(lock.revisions.len(), 2, "what the first build wrote is compared for ever");
}

/// Two changes that are each compatible with the one before, and not with the first: seen, for each revision is kept.
#[test]
fn a_later_change_is_compared_with_every_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    catalogue::<First>().bless(folder.path()).unwrap();
    catalogue::<Noted>().bless(folder.path()).unwrap();
    let report = check::<Needed>(folder.path());
    assert!(codes(&report).contains(&("field-missing", Level::Break, "stored")), "{report}");
}

#[test]
fn a_break_is_not_blessed_but_waived_until_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    catalogue::<First>().bless(at).unwrap();
    let before = std::fs::read_to_string(at.join("OrderPlaced.v1.json")).unwrap();
    let refused = catalogue::<Shorter>().bless(at).unwrap_err();
    assert!(matches!(&refused, BlessError::Breaks(report) if report.failures().count() == 2), "{refused}");
    assert_eq!(std::fs::read_to_string(at.join("OrderPlaced.v1.json")).unwrap(), before);

    let waiver = |until: &str| {
        let text = format!(
            "[[waiver]]\ncode = \"field-missing\"\nevent = \"OrderPlaced\"\nreason = \"consumers are deployed\"\nuntil = \"{until}\"\n"
        );
        std::fs::write(at.join("waivers.toml"), text).unwrap();
    };
    waiver("2020-01-31");
    let expired = check::<Shorter>(at);
    assert!(codes(&expired).contains(&("waiver-expired", Level::Break, "lock")), "{expired}");
    assert!(catalogue::<Shorter>().bless(at).is_err());
    waiver("2999-12-31");
    let folder_now = Folder::read(at).unwrap();
    let waived = catalogue::<Shorter>().check(&folder_now);
    assert!(
        waived
            .findings
            .iter()
            .filter(|finding| finding.code == "field-missing")
            .all(|finding| !finding.fails())
    );
    let later = catalogue::<Shorter>().check_on(&folder_now, "3000-01-01".parse().unwrap());
    assert!(codes(&later).contains(&("waiver-expired", Level::Break, "lock")), "{later}");
    catalogue::<Shorter>().bless(at).unwrap();
    let unused = check::<Shorter>(at);
    assert!(unused.passes() && codes(&unused) == [("waiver-unused", Level::Warn, "lock")], "{unused}");
}

#[test]
fn a_bless_hides_nothing_from_a_comparison_with_another_revision() {
    let repository = tempfile::tempdir().unwrap();
    let at = repository.path().join("schema");
    let git = |arguments: &[&str]| {
        let done = Command::new("git").arg("-C").arg(repository.path()).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "--quiet"]);
    catalogue::<First>().bless(&at).unwrap();
    git(&["add", "."]);
    git(&["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "first"]);
    // Someone deletes the folder and has it written anew: the plain check sees nothing.
    std::fs::remove_dir_all(&at).unwrap();
    catalogue::<Shorter>().bless(&at).unwrap();
    let now = Folder::read(&at).unwrap();
    assert!(catalogue::<Shorter>().check(&now).passes());
    let before = Folder::at_revision(&at, "HEAD").unwrap();
    let report = catalogue::<Shorter>().check_against(&now, &before);
    assert!(codes(&report).contains(&("field-missing", Level::Break, "wire")), "{report}");
    assert!(codes(&report).contains(&("revision-removed", Level::Break, "lock")), "{report}");
    std::fs::remove_file(at.join("OrderPlaced.v1.json")).unwrap();
    for sample in files(&at) {
        std::fs::remove_file(at.join(sample)).unwrap();
    }
    let report = catalogue::<Shorter>().check_against(&Folder::read(&at).unwrap(), &before);
    assert!(codes(&report).contains(&("lock-removed", Level::Break, "lock")), "{report}");
    let unknown = Folder::at_revision(&at, "no-such-branch").unwrap_err().to_string();
    assert!(unknown.contains("no-such-branch") && unknown.contains("fetch"), "{unknown}");
}

#[test]
fn a_report_is_shown_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    catalogue::<First>().bless(folder.path()).unwrap();
    let report = check::<Shorter>(folder.path());
    let text = report.show(Format::Text);
    assert!(text.contains("BREAK: OrderPlaced v1 at total [wire/field-missing]"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.show(Format::Json)).unwrap();
    assert_eq!(
        (json["passes"].as_bool(), json["findings"][0]["path"].as_str()),
        (Some(false), Some("total"))
    );
    let junit = report.show(Format::Junit);
    assert!(
        junit.contains("failures=\"1\"") && junit.contains("<failure type=\"field-missing\">"),
        "{junit}"
    );
    let github = report.show(Format::Github);
    assert!(github.starts_with("::error file=OrderPlaced.v1.json,title=field-missing::"), "{github}");
}
