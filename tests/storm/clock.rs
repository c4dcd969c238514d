//! A process whose clock is off, by a library that is loaded before the C library (`clock.c`). libfaketime is not used: it does
//! not know `cnd_timedwait`, and with it every wait of librdkafka ends at once or an hour late.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long the process may take to tell the time.
const ANSWER: Duration = Duration::from_secs(5);

/// Builds the library; the C compiler is the one that SQLite and librdkafka are built with.
pub(crate) fn build(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, include_str!("clock.c")).expect("the folder is ours");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
    assert!(compiler.status().is_ok_and(|status| status.success()), "cc cannot build clock.c");
    library
}

/// A clock that is so many hours off.
pub(crate) struct Clock<'a> {
    pub(crate) library: &'a Path,
    pub(crate) hours: i8,
}

impl Clock<'_> {
    /// Gives it to a process.
    pub(crate) fn set(&self, command: &mut Command) {
        let seconds = i64::from(self.hours) * 3_600;
        command.env("LD_PRELOAD", self.library).env("CLOCK_OFF_SECONDS", seconds.to_string());
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
