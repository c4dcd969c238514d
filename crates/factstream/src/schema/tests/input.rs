//! Folders that are not as they should be: a clear error, which names the file and says what to do.

use super::*;

fn refused(name: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    catalogue::<First>().bless(folder.path()).unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    let error = Folder::read(folder.path()).expect_err(name).to_string();
    assert!(error.contains(name), "{error}");
    error
}

#[test]
fn each_says_what_to_do() {
    let lock = "OrderPlaced.v1.json";
    let conflict = "{\n<<<<<<< ours\n\"a\": 1\n=======\n\"a\": 2\n>>>>>>> theirs\n}";
    assert!(refused(lock, conflict).contains("keep the revisions of both sides"));
    assert!(refused(lock, "{").contains("it is not JSON"));
    assert!(refused(lock, "{}").contains("it is not a lock file"));
    assert!(refused(lock, r#"{"factstream_schema":2,"more":1}"#).contains("update factstream"));
    assert!(
        refused(
            lock,
            r#"{"factstream_schema":1,"event":"OrderPlaced","version":1,"topic":null,"revisions":[]}"#
        )
        .contains("no revisions")
    );
    let other = r#"{"factstream_schema":1,"event":"Other","version":1,"topic":null,"revisions":[{"shape":{"type":"any"}}]}"#;
    assert!(refused(lock, other).contains("Other.v1.json"));
    assert!(refused("notes.txt", "hello").contains("Move it elsewhere"));
    assert!(refused("Unknown.v1.sample.json", "{}").contains("belongs to no locked event"));
    assert!(refused("OrderPlaced.v1.mine.expected.json", "{}").contains("no sample mine"));
    assert!(refused("OrderPlaced.v1.mine.json", "{").contains("it is not JSON"));
    assert!(refused("waivers.toml", "[[waiver]]\ncode = \"x\"").contains("until"));
    assert!(
        refused(
            "waivers.toml",
            "[[waiver]]\ncode = \"x\"\nevent = \"A\"\nreason = \" \"\nuntil = \"2999-01-01\""
        )
        .contains("no reason")
    );
}

#[test]
fn what_is_for_people_and_other_tools_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    catalogue::<First>().bless(folder.path()).unwrap();
    std::fs::write(folder.path().join("README.md"), "read me").unwrap();
    std::fs::write(folder.path().join(".gitattributes"), "*").unwrap();
    assert!(catalogue::<First>().check(&Folder::read(folder.path()).unwrap()).findings.is_empty());
}

#[test]
fn a_sample_from_real_life_is_kept_and_a_change_of_what_it_becomes_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    catalogue::<First>().bless(at).unwrap();
    std::fs::write(at.join("OrderPlaced.v1.of-2019.json"), r#"{"id":"o-1","total":7,"gone":true}"#).unwrap();
    assert_eq!(catalogue::<First>().check(&Folder::read(at).unwrap()).findings[0].code, "golden-new");
    catalogue::<First>().bless(at).unwrap();
    assert_eq!(
        std::fs::read_to_string(at.join("OrderPlaced.v1.of-2019.expected.json")).unwrap(),
        "{ \"id\": \"o-1\", \"total\": 7 }\n"
    );
    std::fs::write(at.join("OrderPlaced.v1.of-2019.expected.json"), r#"{"id":"o-1","total":8}"#).unwrap();
    let report = catalogue::<First>().check(&Folder::read(at).unwrap());
    let found: Vec<_> = report.findings.iter().map(|finding| (finding.code, finding.file.as_str())).collect();
    assert_eq!(found, [("golden-changed", "OrderPlaced.v1.of-2019.json")], "{report}");
}
