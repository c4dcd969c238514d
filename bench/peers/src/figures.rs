//! What one run measured, in the shape in which `bench/src/figures.rs` reads it.

use crate::Failed;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a run came to.
#[derive(Serialize)]
pub(crate) struct Figures {
    /// Commands or events each second.
    per_second: f64,
    /// How long a command took; `None` for a rebuild.
    latency: Option<Latency>,
    /// The most memory that this process had, as the kernel counted it.
    peak_memory_bytes: u64,
}

#[derive(Serialize)]
struct Latency {
    p50_micros: u64,
    p99_micros: u64,
}

impl Figures {
    /// So many operations since then.
    pub(crate) fn rate(operations: u64, began: Instant) -> Self {
        let per_second = operations as f64 / began.elapsed().as_secs_f64();
        Self { per_second, latency: None, peak_memory_bytes: 0 }
    }

    /// With this process's peak until now.
    pub(crate) fn with_peak_memory(self) -> Result<Self, Failed> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no memory is told")?;
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse()?;
        Ok(Self { peak_memory_bytes: kilobytes * 1024, ..self })
    }
}

/// The two commands on an order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Create,
    Ship,
}

/// As many as factstream has in contest P1.
pub(crate) const CALLERS: u64 = 64;

/// [`CALLERS`] side by side: each takes every n-th of `orders`, and does both steps of it one after the other.
pub(crate) async fn drive<F, Done>(orders: u64, work: F) -> Result<Figures, Failed>
where
    F: Fn(u64, Step) -> Done + Send + Sync + 'static,
    Done: Future<Output = Result<(), Failed>> + Send,
{
    let work = Arc::new(work);
    let began = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let work = Arc::clone(&work);
            tokio::spawn(async move {
                let mut times = Histogram::<u64>::new(3)?;
                for order in (caller..orders).step_by(CALLERS as usize) {
                    for step in [Step::Create, Step::Ship] {
                        let began = Instant::now();
                        work(order, step).await?;
                        times += micros(began.elapsed());
                    }
                }
                Ok::<_, Failed>(times)
            })
        })
        .collect();
    let mut times = Histogram::<u64>::new(3)?;
    for caller in callers {
        times += caller.await??;
    }
    let at = |quantile| times.value_at_quantile(quantile);
    let latency = Latency { p50_micros: at(0.5), p99_micros: at(0.99) };
    Ok(Figures { latency: Some(latency), ..Figures::rate(orders * 2, began) })
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}
