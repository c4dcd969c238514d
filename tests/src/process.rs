//! The `orders` binary as a process that can be killed.

use crate::target_folder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The binary, built once, unless `FACTSTREAM_ORDERS` names one that is built.
///
/// # Panics
/// When it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(built) = std::env::var_os("FACTSTREAM_ORDERS") {
            return built.into();
        }
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--workspace", "--bin", "orders"])
            .args(["--features", "orders/kafka,factstream/postgres"]) // as `./dev test`: compiled once
            .current_dir(root)
            .status();
        assert!(built.is_ok_and(|status| status.success()), "the binary `orders` cannot be built");
        target_folder().join("debug/orders")
    })
}

/// Runs `orders` to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run(args: &[&str]) -> Output {
    Command::new(binary()).args(args).output().expect("the binary `orders` starts")
}

/// A running `orders serve`.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Its address, `http://127.0.0.1:PORT`.
    pub url: String,
    log_end: Option<JoinHandle<VecDeque<String>>>,
}

/// So much of a log is shown when a process did not stop with success.
const LOG_LINES: usize = 20;

impl Server {
    /// Starts it on a free port and waits until it is ready.
    ///
    /// # Panics
    /// When it ends before that; with what it printed.
    pub fn start(store: &str, more: &[&str]) -> Self {
        Self::try_start(store, more)
            .unwrap_or_else(|error| panic!("orders serve did not become ready: {error}"))
    }

    /// As [`Server::start`].
    ///
    /// # Errors
    /// With what it printed, when it ends before it is ready.
    ///
    /// # Panics
    /// When the binary cannot be started at all.
    pub fn try_start(store: &str, more: &[&str]) -> Result<Self, String> {
        let mut command = Command::new(binary());
        command.args(["serve", "--store", store, "--listen", "127.0.0.1:0"]).args(more);
        Self::spawn(&mut command)
    }

    /// Starts a process that prints one line with its address when it is ready. `FACTSTREAM_LOGS` names a folder where its
    /// log is kept, for whoever looks for the reason of a failure.
    ///
    /// # Errors
    /// As [`Server::try_start`].
    ///
    /// # Panics
    /// When there is no such program.
    pub fn spawn(command: &mut Command) -> Result<Self, String> {
        let logs = std::env::var_os("FACTSTREAM_LOGS");
        let mut child = command
            .env("FACTSTREAM_STOP_GRACE", "0") // nobody sends requests through anything that looks whether it is ready
            .env("RUST_LOG", if logs.is_some() { "info" } else { "error" })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let Some(url) = url.map(str::to_owned).filter(|_| read.is_ok()) else {
            let mut error = String::new();
            let _ = child.stderr.take().expect("stderr is piped").read_to_string(&mut error);
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("{line:?} {error}"));
        };
        // Whether its log is kept or not: what is written there must never make it wait.
        let mut log = child.stderr.take().expect("stderr is piped");
        let mut kept: Box<dyn Write + Send> = match logs {
            Some(folder) => {
                std::fs::create_dir_all(&folder).expect("a folder for logs can be made");
                let name = format!("{}.log", child.id());
                Box::new(File::create(Path::new(&folder).join(name)).expect("a log can be kept there"))
            }
            None => Box::new(std::io::sink()),
        };
        let log_end = std::thread::spawn(move || {
            let mut end = VecDeque::new();
            for line in BufReader::new(&mut log).split(b'\n').map_while(Result::ok) {
                let _ = kept.write_all(&line).and_then(|()| kept.write_all(b"\n"));
                if end.len() == LOG_LINES {
                    end.pop_front();
                }
                end.push_back(String::from_utf8_lossy(&line).into_owned());
            }
            end
        });
        Ok(Self { child, url, log_end: Some(log_end) })
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Halts it where it is, as a machine that is overloaded or a debugger does.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Asks it to stop.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::SIGTERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id fits"));
        let _ = kill(pid, signal);
    }

    /// Kills it: no chance to tidy up.
    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Asks it to stop, and waits until it has. Without success it prints the end of its log.
    ///
    /// # Panics
    /// When it does not stop within 20 s.
    pub fn stop(mut self) -> ExitStatus {
        self.ask_to_stop();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                if !status.success() {
                    let end = self.log_end.take().and_then(|log| log.join().ok()).unwrap_or_default();
                    println!("process {} ended with {status}; the end of its log:", self.child.id());
                    for line in end {
                        println!("    {line}");
                    }
                }
                return status;
            }
            assert!(Instant::now() < deadline, "orders serve did not stop within 20 s of SIGTERM");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
