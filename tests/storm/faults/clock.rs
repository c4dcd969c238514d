//! A process whose clock is off, by libfaketime. Its monotonic clock is right, as it is when a machine's clock is off.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long the process may take to tell the time.
const ANSWER: Duration = Duration::from_secs(5);

/// A clock that is off.
pub(crate) struct Clock {
    library: PathBuf,
    hours: i8,
}

impl Clock {
    /// One that is so many hours off; `None` where libfaketime is not installed.
    pub(crate) fn off(hours: i8) -> Option<Self> {
        let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        Some(Self { library: libraries.find(|library| library.exists())?, hours })
    }

    /// Gives it to a process. Not by the program `faketime`, which would stand between the harness and the process.
    pub(crate) fn set(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME", format!("{:+}h", self.hours));
        // The name on the manual page, and the one that the library reads.
        command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    /// Panics unless the server at this URL says so in the date of its answer.
    pub(crate) fn check(&self, url: &str) {
        let answer = ask(url.trim_start_matches("http://")).unwrap_or_default();
        let Some(date) = answer.lines().find_map(|line| line.strip_prefix("date: ")) else {
            println!("          {url} did not tell the time"); // hit by another fault
            return;
        };
        let date = jiff::fmt::rfc2822::parse(date).expect("HTTP's dates are as in mail").timestamp();
        let off = date.duration_since(jiff::Timestamp::now()).as_secs() - i64::from(self.hours) * 3_600;
        assert!(
            off.abs() < 60,
            "the clock of {url} should be {:+} h off, and is {off} s beside that",
            self.hours
        );
        println!("          its clock says {date}");
    }
}

fn ask(address: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(ANSWER))?;
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}
