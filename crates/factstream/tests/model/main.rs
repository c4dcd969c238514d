//! The whole model: random commands and faults on a real store, against a reference of plain maps.
//!
//! A case is some tens of steps on a fresh store with up to two processes. [`reference`] says what each step must come
//! to, and what must be there once everything has settled; [`play`] does it; [`compare`] looks. A failing case is made as
//! small as it goes and printed with the seed that makes it again:
//!
//! `FACTSTREAM_MODEL_SEED=7 FACTSTREAM_MODEL_CASES=1000 cargo test -p factstream --test model`
#![allow(missing_docs, clippy::unwrap_used)]

mod steps;
mod reference;
mod bank;
mod processes;
mod play;
mod letters;
mod compare;
mod found;
#[cfg(feature = "postgres")]
mod on_postgres;

use play::Play;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use steps::{Case, case};
use tempfile::TempDir;

/// Cases wait more than they work (for retries, leases and each other's news), so several run at once.
const RUNNERS: usize = 4;
/// No case takes a tenth of it.
const CASE_TAKES_MAX: Duration = Duration::from_secs(120);
/// How long a failing case is made smaller.
const SHRINKING_TAKES_MAX: Duration = Duration::from_secs(60);

#[test]
fn whatever_is_done_and_whatever_breaks_the_store_is_what_the_reference_says() {
    prove(40, sqlite_file);
}

fn sqlite_file(folder: &TempDir) -> String {
    format!("sqlite://{}", folder.path().join("bank.db").display())
}

/// Plays random cases, each on a store of its own.
fn prove(cases: u32, url: impl Fn(&TempDir) -> String + Sync) {
    keep_told_panics_quiet();
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("FACTSTREAM_MODEL_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    let cases = number("FACTSTREAM_MODEL_CASES").map_or(cases, |cases| u32::try_from(cases).unwrap());
    println!("FACTSTREAM_MODEL_SEED={seed}");
    let failed = AtomicUsize::new(RUNNERS);
    let runner = |number: usize| -> Option<String> {
        let failure = run(seed, number, cases.div_ceil(RUNNERS as u32), |case| {
            if ![RUNNERS, number].contains(&failed.load(Ordering::SeqCst)) {
                return Ok(()); // another one has failed, and its case is being made smaller
            }
            play(&case, &url).inspect_err(|_| {
                let _ = failed.compare_exchange(RUNNERS, number, Ordering::SeqCst, Ordering::SeqCst);
            })
        })?;
        (failed.load(Ordering::SeqCst) == number).then_some(failure)
    };
    let failure = std::thread::scope(|scope| {
        let runners: Vec<_> = (0..RUNNERS).map(|number| scope.spawn(move || runner(number))).collect();
        runners.into_iter().find_map(|runner| runner.join().expect("a runner reports"))
    });
    if let Some(failure) = failure {
        panic!("with FACTSTREAM_MODEL_SEED={seed}:\n{failure}");
    }
}

/// Plays cases until one fails; that one in its smallest form.
fn run(seed: u64, number: usize, cases: u32, test: impl Fn(Case) -> Result<(), String>) -> Option<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = u8::try_from(number).unwrap();
    let shrinking_millis = u32::try_from(SHRINKING_TAKES_MAX.as_millis()).unwrap();
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_time: shrinking_millis,
        max_shrink_iters: u32::MAX,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    match runner.run(&case(), |case| test(case).map_err(TestCaseError::fail)) {
        Ok(()) => None,
        Err(TestError::Abort(reason)) => Some(format!("given up: {reason}")),
        Err(TestError::Fail(reason, Case { setup, steps })) => {
            let steps: Vec<String> =
                steps.iter().enumerate().map(|(number, step)| format!("{number:3}  {step:?}")).collect();
            Some(format!("{reason}\n\nthe smallest case found, with {setup:?}:\n{}\n", steps.join("\n")))
        }
    }
}

fn play(case: &Case, url: &impl Fn(&TempDir) -> String) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let played = runtime.block_on(async {
        let mut play = Play::new(url(&folder), case.setup);
        match tokio::time::timeout(CASE_TAKES_MAX, play.case(case)).await {
            Ok(result) => result,
            Err(_) => Err(format!("the case did not end within {CASE_TAKES_MAX:?}")),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    played
}

/// Handlers that are told to panic say nothing on the test's output.
fn keep_told_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str() != Some("told to") {
                shown(panic);
            }
        }));
    });
}
