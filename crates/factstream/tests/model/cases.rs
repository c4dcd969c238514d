//! Random cases, each on a store of its own: played, and made as small as they go when they fail.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::fmt::Debug;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Cases wait more than they work (for retries, leases and each other's news), so several run at once.
const RUNNERS: usize = 4;
/// A long case on a busy machine takes a third of it.
const CASE_TAKES_MAX: Duration = Duration::from_secs(300);
/// How long a failing case is made smaller.
const SHRINKING_TAKES_MAX: Duration = Duration::from_secs(60);

/// The way it is set up, and its steps. Plain data, so that proptest can make and shrink it.
#[derive(Debug, Clone)]
pub(crate) struct Case<Setup, Step> {
    pub(crate) setup: Setup,
    pub(crate) steps: Vec<Step>,
}

/// Where the store of a case lies.
pub(crate) type Place = fn(&TempDir) -> String;

pub(crate) fn sqlite_file(folder: &TempDir) -> String {
    format!("sqlite://{}", folder.path().join("case.db").display())
}

/// Plays random cases; `play` is given each with the URL of its store.
pub(crate) fn prove<Setup: Debug, Step: Debug, S>(
    cases: u32,
    place: Place,
    strategy: impl Fn() -> S + Sync,
    play: impl AsyncFn(&Case<Setup, Step>, String) -> Result<(), String> + Sync,
) where
    S: Strategy<Value = Case<Setup, Step>>,
{
    keep_told_panics_quiet();
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("FACTSTREAM_MODEL_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    let cases = number("FACTSTREAM_MODEL_CASES").map_or(cases, |cases| u32::try_from(cases).unwrap());
    println!("FACTSTREAM_MODEL_SEED={seed}");
    let failed = AtomicUsize::new(RUNNERS);
    let runner = |number: usize| -> Option<String> {
        let failure = run(seed, number, cases.div_ceil(RUNNERS as u32), &strategy(), |case| {
            if ![RUNNERS, number].contains(&failed.load(Ordering::SeqCst)) {
                return Ok(()); // another one has failed, and its case is being made smaller
            }
            on_a_store(place, async |url| play(&case, url).await).inspect_err(|_| {
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
fn run<Setup: Debug, Step: Debug>(
    seed: u64,
    number: usize,
    cases: u32,
    strategy: &impl Strategy<Value = Case<Setup, Step>>,
    test: impl Fn(Case<Setup, Step>) -> Result<(), String>,
) -> Option<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = u8::try_from(number).unwrap();
    let shrinking_millis = u32::try_from(SHRINKING_TAKES_MAX.as_millis()).unwrap();
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_time: shrinking_millis,
        max_shrink_iters: u32::MAX - 1, // the largest number stands for the number of cases
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    match runner.run(strategy, |case| test(case).map_err(TestCaseError::fail)) {
        Ok(()) => None,
        Err(TestError::Abort(reason)) => Some(format!("given up: {reason}")),
        Err(TestError::Fail(reason, Case { setup, steps })) => {
            let steps: Vec<String> =
                steps.iter().enumerate().map(|(number, step)| format!("{number:3}  {step:?}")).collect();
            Some(format!("{reason}\n\nthe smallest case found, with {setup:?}:\n{}\n", steps.join("\n")))
        }
    }
}

/// Plays on a new store.
pub(crate) fn on_a_store(
    place: Place,
    play: impl AsyncFn(String) -> Result<(), String>,
) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let played = runtime.block_on(async {
        match tokio::time::timeout(CASE_TAKES_MAX, play(place(&folder))).await {
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
