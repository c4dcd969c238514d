//! Where the URLs of the store and the broker come from: never need a password stand in the arguments.

use factstream_tests::client::Client;
use factstream_tests::postgres;
use factstream_tests::process::{Server, binary};
use std::process::Command;

fn orders(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args);
    for name in ["STORE", "STORE_FILE", "BROKER", "BROKER_FILE"] {
        command.env_remove(format!("FACTSTREAM_{name}"));
    }
    command
}

#[test]
fn a_service_and_its_tools_take_the_url_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (store, file) = (postgres::server().database(), folder.path().join("store-url"));
    std::fs::write(&file, format!("{store}\n")).unwrap();
    let mut serve = orders(&["serve", "--listen", "127.0.0.1:0"]);
    serve.env("FACTSTREAM_STORE_FILE", &file).env("FACTSTREAM_BROKER", "embedded");
    let server = Server::spawn(&mut serve).unwrap();
    Client::new(&server.url).stock("SKU-1", 7);
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", server.pid())).unwrap();
    assert!(!arguments.contains("postgres"), "{arguments}");
    let file = file.display().to_string();
    let status = orders(&["status", "--json", "--store-file", &file]).output().unwrap();
    assert!(status.status.success(), "{status:?}");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&status["position"], &status["store"]["answers"]), (&1.into(), &true.into()), "{status}");
    let handlers = orders(&["handlers", "list", "--store-file", &file]).output().unwrap();
    let handlers = String::from_utf8(handlers.stdout).unwrap();
    let runner = format!("/{}", server.pid());
    assert!(handlers.contains("order_projections") && handlers.contains(&runner), "{handlers}");
    assert!(server.stop().success());
    // Shown first, done when asked for.
    let reset = |more: &[&str]| {
        let args = [&["handlers", "reset", "payment", "--to", "now", "--store-file", &file], more].concat();
        let output = orders(&args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(reset(&[]).contains("Nothing was changed"));
    let done = reset(&["--execute"]);
    assert!(done.contains("set to") && done.contains("orders.events/0"), "{done}");
}

#[test]
fn an_error_says_which_of_the_places_is_wrong_and_not_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store-url");
    std::fs::write(&file, "mysql://me:s3cret@db/orders").unwrap();
    let path = file.display().to_string();
    let told = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!told.contains("s3cret"), "{told}");
        told
    };
    let named = told(orders(&["status"]).env("FACTSTREAM_STORE_FILE", &file));
    assert!(named.contains(&format!("the URL comes from FACTSTREAM_STORE_FILE={path}")), "{named}");
    let named = told(&mut orders(&["projections", "list", "--store-file", "none"]));
    assert!(named.contains("--store-file none: the file cannot be read"), "{named}");
    let twice = told(orders(&["status"]).env("FACTSTREAM_STORE_FILE", &file).env("FACTSTREAM_STORE", "x"));
    assert!(twice.contains("FACTSTREAM_STORE and FACTSTREAM_STORE_FILE: both are given"), "{twice}");
    let store = format!("sqlite://{}", folder.path().join("orders.db").display());
    let mut serve = orders(&["serve", "--listen", "127.0.0.1:0", "--store", &store]);
    let broker = told(serve.env("FACTSTREAM_BROKER", "rabbit://me:s3cret@h"));
    assert!(broker.contains("comes from FACTSTREAM_BROKER)"), "{broker}");
}
