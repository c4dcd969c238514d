//! Runs the entries of each contest in turns, each run in a process of its own, on servers of the benchmark's own.

use crate::Failed;
use crate::contest::{Contest, Outcome, PREPARE, Scale, Size};
use crate::contests;
use crate::figures::Figures;
use factstream_tests::kafka;
use factstream_tests::postgres::Postgres;
use std::cell::OnceCell;
use std::path::Path;
use std::process::Command;

/// Settings of the benchmark's PostgreSQL: the commits are durable, as by default.
const POSTGRES_SETTINGS: &str = "max_connections = 200\nshared_buffers = 512MB\nmax_wal_size = 4GB\n";
const ROUNDS_QUICK: usize = 3;
const ROUNDS_FULL: usize = 5;

#[derive(Default)]
struct Servers {
    postgres: OnceCell<Postgres>,
    kafka: OnceCell<String>,
}

impl Servers {
    fn postgres(&self) -> &Postgres {
        self.postgres.get_or_init(|| Postgres::start_own_in(&std::env::temp_dir(), POSTGRES_SETTINGS))
    }

    fn kafka(&self) -> &str {
        self.kafka.get_or_init(kafka::server)
    }
}

/// Runs the contests whose names are wanted.
pub(crate) fn run(
    rounds: Option<usize>,
    scale: Scale,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Outcome>, Failed> {
    let rounds = rounds.unwrap_or(match scale {
        Scale::Quick => ROUNDS_QUICK,
        Scale::Full => ROUNDS_FULL,
    });
    let servers = Servers::default();
    // Beside what is built: the system's own temporary folder may be memory, where a sync costs nothing.
    let folder = tempfile::tempdir_in(factstream_tests::target_folder())?;
    let mut results = Vec::new();
    let is_run = |contest: &&Contest| contest.size.at(scale) != Size::LEFT_OUT;
    for contest in contests::all().filter(is_run).filter(|contest| wanted(contest.name)) {
        results.push(run_contest(contest, scale, rounds, &servers, folder.path())?);
    }
    if results.is_empty() {
        let names: Vec<&str> = contests::all().map(|contest| contest.name).collect();
        return Err(format!("no contest begins with that; there are {}", names.join(", ")).into());
    }
    Ok(results)
}

fn run_contest(
    contest: &'static Contest,
    scale: Scale,
    rounds: usize,
    servers: &Servers,
    folder: &Path,
) -> Result<Outcome, Failed> {
    let folder = tempfile::tempdir_in(folder)?;
    let mut place = vec![
        "--size".to_owned(),
        contest.size.at(scale).to_string(),
        "--folder".to_owned(),
        folder.path().display().to_string(),
    ];
    if contest.servers.kafka {
        place.extend(["--kafka".to_owned(), servers.kafka().to_owned()]);
    }
    let shared = contest.servers.postgres.then(|| servers.postgres().database());
    if let Some(shared) = &shared {
        place.extend(["--shared".to_owned(), shared.clone()]);
    }
    if contest.prepare.is_some() {
        eprintln!("{:4} preparing", contest.name);
        run_entry(contest, PREPARE, &place)?;
    }
    let mut all: Vec<Vec<Figures>> = contest.entries.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (entry, figures) in contest.entries.iter().zip(&mut all).filter(|(entry, _)| entry.takes_part()) {
            let own = contest.servers.postgres.then(|| servers.postgres().database());
            let mut place = place.clone();
            if let Some(own) = &own {
                place.extend(["--database".to_owned(), own.clone()]);
            }
            let measured = run_entry(contest, entry.name, &place)?;
            eprintln!(
                "{:4} round {round}/{rounds}  {:34} {}",
                contest.name,
                entry.name,
                crate::report::short(&measured, contest)
            );
            figures.push(measured);
            if let Some(own) = own {
                drop_database(servers.postgres(), &own);
            }
        }
    }
    if let Some(shared) = shared {
        drop_database(servers.postgres(), &shared);
    }
    Ok(Outcome { contest, rounds: all })
}

fn drop_database(server: &Postgres, url: &str) {
    if let Some((_, name)) = url.rsplit_once('/') {
        server.run(&format!("DROP DATABASE {name} WITH (FORCE)"));
    }
}

fn run_entry(contest: &Contest, entry: &str, place: &[String]) -> Result<Figures, Failed> {
    let output = Command::new(std::env::current_exe()?)
        .args(["entry", contest.name, entry])
        .args(place)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{} of {entry:?} failed", contest.name).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
