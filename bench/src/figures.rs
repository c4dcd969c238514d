//! What one run measured, and how it is measured.

use crate::Failed;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What one run of one entry came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Operations each second; 0 where only times are measured.
    pub(crate) per_second: f64,
    /// How long an operation took, where that is of interest.
    pub(crate) latency: Option<Latency>,
    /// The most memory that its process had, in bytes, as the kernel counted it.
    pub(crate) peak_memory_bytes: u64,
}

/// Microseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_micros: u64,
    pub(crate) p99_micros: u64,
}

impl Figures {
    /// So many operations since then.
    pub(crate) fn rate(operations: u64, began: Instant) -> Self {
        let per_second = operations as f64 / began.elapsed().as_secs_f64();
        Self { per_second, latency: None, peak_memory_bytes: 0 }
    }

    /// Times only.
    pub(crate) fn times(times: &Times) -> Self {
        Self { per_second: 0.0, latency: Some(times.latency()), peak_memory_bytes: 0 }
    }

    pub(crate) fn with_latency(self, times: &Times) -> Self {
        Self { latency: Some(times.latency()), ..self }
    }

    /// With this process's peak, unless another's was measured.
    pub(crate) fn with_peak_memory(self) -> Result<Self, Failed> {
        match self.peak_memory_bytes {
            0 => Ok(Self { peak_memory_bytes: memory_bytes("/proc/self/status", "VmHWM:")?, ..self }),
            _ => Ok(self),
        }
    }
}

/// A line of a process's status, in bytes.
pub(crate) fn memory_bytes(status: &str, name: &str) -> Result<u64, Failed> {
    let status = std::fs::read_to_string(status)?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no memory is told")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

/// How long operations took.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        Self(Histogram::new(3).expect("three digits are a precision that there is"))
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.0 += time.as_micros().try_into().unwrap_or(u64::MAX);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    fn latency(&self) -> Latency {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Latency { p50_micros: at(0.5), p99_micros: at(0.99) }
    }
}

/// Callers that work side by side: each takes every n-th of `orders`, and does both steps of it one after the other.
pub(crate) async fn drive<F, Done>(callers: u64, orders: u64, work: F) -> Result<Figures, Failed>
where
    F: Fn(u64, Step) -> Done + Send + Sync + 'static,
    Done: Future<Output = Result<(), Failed>> + Send,
{
    let work = Arc::new(work);
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let work = Arc::clone(&work);
            tokio::spawn(async move {
                let mut times = Times::new();
                for order in (caller..orders).step_by(callers as usize) {
                    for step in [Step::Create, Step::Ship] {
                        let began = Instant::now();
                        work(order, step).await?;
                        times.record(began.elapsed());
                    }
                }
                Ok::<_, Failed>(times)
            })
        })
        .collect();
    let mut times = Times::new();
    for task in tasks {
        times.add(&task.await??);
    }
    Ok(Figures::rate(orders * 2, began).with_latency(&times))
}

/// The two commands on an order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Create,
    Ship,
}
