//! Processes of their own: this program again, at one of its tests.

use crate::common::Shop;
use std::process::{Command, Stdio};

const URL: &str = "FACTSTREAM_RELEASES_URL";

/// A process that runs the ignored test of this name on the shop's store.
pub(crate) fn child(test: &str, shop: &Shop) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", test, "--nocapture"]).env(URL, shop.url());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// In such a process, the store's URL.
pub(crate) fn url() -> String {
    std::env::var(URL).unwrap()
}
