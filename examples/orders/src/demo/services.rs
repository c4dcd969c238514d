//! The services that a demo runs on: in this process, or each in a process of its own where there is a cluster.
//!
//! Invariant: a child ends with its demo: it is asked to stop, and killed when the demo goes away without asking.

use crate::Failed;
use crate::app::{Config, Service};
use factstream::{App, Running};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long the services may take to end.
const END_WITHIN: Duration = Duration::from_secs(15);

/// Whatever handles the events of a demo.
#[derive(Debug)]
pub enum Services {
    /// All three, in this process.
    Here(Running),
    /// Each as `orders serve --service ..`.
    Processes(Vec<Child>),
}

impl Services {
    /// Starts them: in processes of their own when the topics are in a cluster.
    ///
    /// # Errors
    /// When one does not become ready.
    pub async fn start(app: &App, config: &Config) -> Result<Self, Failed> {
        if config.broker == "embedded" {
            return Ok(Self::Here(app.start().await?));
        }
        let mut children = Vec::new();
        for service in Service::ALL {
            children.push(serve(config, service).await?);
        }
        Ok(Self::Processes(children))
    }

    /// How they run, for the summary.
    pub fn told(&self) -> String {
        match self {
            Self::Here(_) => "three services in this process".to_owned(),
            Self::Processes(children) => {
                let pids = children.iter().filter_map(Child::id).map(|pid| pid.to_string());
                format!("three services, each a process of its own ({})", pids.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Stops them; what they hold is finished first.
    ///
    /// # Errors
    /// When a process did not stop as it should.
    pub async fn stop(self) -> Result<(), Failed> {
        match self {
            Self::Here(running) => {
                running.stop(END_WITHIN).await;
            }
            Self::Processes(mut children) => {
                for child in &children {
                    ask_to_stop(child);
                }
                for child in &mut children {
                    let ended = tokio::time::timeout(END_WITHIN, child.wait()).await;
                    let status =
                        ended.map_err(|_| format!("a service did not stop within {END_WITHIN:?}"))??;
                    if !status.success() {
                        return Err(format!("a service ended with {status}").into());
                    }
                }
            }
        }
        Ok(())
    }
}

async fn serve(config: &Config, service: Service) -> Result<Child, Failed> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["serve", "--service", service.name(), "--listen", "127.0.0.1:0"])
        .args(["--stop-grace", "0"])
        // Not as arguments, which everybody on the machine may read: a URL may hold a password.
        .env("FACTSTREAM_STORE", &config.store)
        .env("FACTSTREAM_BROKER", &config.broker)
        .env_remove("FACTSTREAM_STORE_FILE")
        .env_remove("FACTSTREAM_BROKER_FILE")
        .args(["--gateway-failure-rate", &config.gateway_failure_rate.to_string()])
        .args(config.analytics.then_some("--analytics"))
        .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "off".to_owned()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().ok_or("the output of a service is not piped")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).await?;
    if line.contains("is ready") {
        return Ok(child);
    }
    let status = child.wait().await?;
    Err(format!("the service {} did not start ({status}); what it says stands above", service.name()).into())
}

#[cfg(unix)]
fn ask_to_stop(child: &Child) {
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
}

#[cfg(not(unix))]
fn ask_to_stop(_: &Child) {}
