//! The binary `orders`: parses the command line, sets up the log, and hands over.

use clap::Parser;
use orders::cli::{Cli, Command};
use orders::{deadletters, demo, projections, schema, seal, serve, status, topics};
use std::io::IsTerminal;
use std::process::ExitCode;
#[cfg(all(feature = "jemalloc", not(target_env = "msvc")))]
use tikv_jemallocator::Jemalloc;
use tracing_subscriber::EnvFilter;

/// What one thread allocates here, another often frees: events are read, folded and written by threads of their own. That is
/// what this allocator is good at (docs/performance.md).
#[cfg(all(feature = "jemalloc", not(target_env = "msvc")))]
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    log_to_stderr(&command);
    let done = match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => Box::pin(demo::run(args)).await, // by far the largest
        Command::Status(args) => status::run(args).await,
        Command::Handlers(args) => status::run_handlers(args).await,
        Command::DeadLetters(args) => deadletters::run(args).await,
        Command::Projections(args) => projections::run(args).await,
        Command::Topics(args) => topics::run(args).await,
        Command::Schema(args) => schema::run(args).await,
        Command::Seal(args) => seal::run(args).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// `RUST_LOG` says what is logged. Unless it does, `serve` tells what happens, the others only what goes wrong; the
/// demo makes things go wrong, and tells it in its summary.
fn log_to_stderr(command: &Command) {
    let default = match command {
        Command::Serve(_) => "info",
        Command::Demo(_) => "off",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
