//! `orders seal ..`: whether the log is as it was sealed, and checkpoints to keep elsewhere (docs/seals.md).

use crate::urls::StoreUrl;
use crate::{Failed, output};
use clap::{Args, Subcommand};
use factstream::App;
use factstream::seals::{Checkpoint, SigningKey, VerifyingKey};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `orders seal`
#[derive(Debug, Clone, Args)]
pub struct Seal {
    /// What to do.
    #[command(subcommand)]
    pub action: SealAction,
    /// The store to look into.
    #[command(flatten)]
    pub store: StoreUrl,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done with the seals.
#[derive(Debug, Clone, Subcommand)]
pub enum SealAction {
    /// How far the log is sealed, and for how long the rest has waited
    Status,
    /// Compare every sealed event with its seal, and the seals with checkpoints; exit with an error if anything differs
    Verify {
        /// A checkpoint from elsewhere, as export wrote it; may be given several times, and finds more the more there are
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
        /// The public key that signed them, as `seal key` printed it; without it signatures are not checked
        #[arg(long, value_name = "KEY")]
        public_key: Option<VerifyingKey>,
    },
    /// Write a signed checkpoint, to be kept where nobody who writes the store can reach it. Verify first
    Export {
        /// The file of the secret key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// A new file for the checkpoint [default: the standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make the key that signs this log's checkpoints: the secret one into a new file, the public one to the standard output
    Key {
        /// A new file for the secret key
        file: PathBuf,
    },
}

/// Does what is asked.
///
/// # Errors
/// When the store or a file cannot be used, nothing is sealed, or a checkpoint is of another log or not signed by the key.
pub async fn run(args: Seal) -> Result<ExitCode, Failed> {
    let Seal { action, store, json } = args;
    let app = output::inspect(store.find()?, output::in_store()).await?;
    match action {
        SealAction::Status => status(&app, json).await,
        SealAction::Verify { checkpoints, public_key } => {
            let checkpoints: Result<Vec<_>, _> =
                checkpoints.iter().map(|file| checkpoint(file, public_key.as_ref())).collect();
            verify(&app, &checkpoints?, json).await
        }
        SealAction::Export { key, out } => export(&app, &key, out.as_deref(), json).await,
        SealAction::Key { file } => make_key(&app, &file, json),
    }
}

async fn status(app: &App, json: bool) -> Result<ExitCode, Failed> {
    let status = app.seals().status().await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = output::table(&["sealed to", "at", "head", "not sealed", "oldest of these"]);
    table.add_row([
        status.sealed_to.to_string(),
        status.sealed_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
        status.head.to_string(),
        status.unsealed_events.to_string(),
        status.unsealed_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s")),
    ]);
    println!("{table}");
    Ok(ExitCode::SUCCESS)
}

async fn verify(app: &App, checkpoints: &[Checkpoint], json: bool) -> Result<ExitCode, Failed> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} events")?);
    let verified = app
        .seals()
        .verify(checkpoints, |progress| {
            bar.set_length(progress.head);
            bar.set_position(progress.position);
        })
        .await;
    bar.finish_and_clear();
    let verification = verified?;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&verification)?),
        false => println!("{verification}"),
    }
    Ok(if verification.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The checkpoint in a file; with a key, once its signature is found good.
fn checkpoint(file: &Path, key: Option<&VerifyingKey>) -> Result<Checkpoint, Failed> {
    let text = read(file)?;
    let read = match key {
        Some(key) => key.open(&text),
        None => text.parse(),
    };
    read.map_err(|error| format!("{}: {error}", file.display()).into())
}

async fn export(app: &App, key: &Path, out: Option<&Path>, json: bool) -> Result<ExitCode, Failed> {
    let signing: SigningKey =
        read(key)?.trim().parse().map_err(|error| format!("{}: {error}", key.display()))?;
    let checkpoint = app.seals().checkpoint().await?;
    let note = signing.sign(&checkpoint);
    if let Some(file) = out {
        make(file, false)?.write_all(note.as_bytes())?;
    }
    match (json, out) {
        (true, _) => println!("{}", serde_json::json!({ "checkpoint": checkpoint, "note": note })),
        (false, None) => print!("{note}"),
        (false, Some(file)) => {
            println!(
                "{}: a checkpoint of {} positions; keep it elsewhere",
                file.display(),
                checkpoint.size()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn make_key(app: &App, file: &Path, json: bool) -> Result<ExitCode, Failed> {
    let key = SigningKey::generate(&app.seals().origin())?;
    let mut secret = make(file, true)?;
    writeln!(secret, "{}", key.secret_text())?;
    secret.sync_all()?;
    let public = key.verifying_key().to_string();
    match json {
        true => println!("{}", serde_json::json!({ "public_key": public })),
        false => println!("{public}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<String, Failed> {
    fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()).into())
}

/// A new file: none that is there is written over, for it may be the only one of its kind.
fn make(file: &Path, secret: bool) -> Result<File, Failed> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = secret;
    let made = options.open(file);
    made.map_err(|error| format!("{} cannot be made: {error}; name a new file", file.display()).into())
}
