//! Who takes part: the services, the workers, and their role in PostgreSQL.

/// The processes, by what they run.
pub(crate) const SERVICES: [&str; 8] =
    ["order", "inventory", "payment", "order", "inventory", "payment", WORKER, WORKER];
/// The harness's own handlers.
pub(crate) const WORKER: &str = "worker";
/// Who the services are in PostgreSQL.
pub(crate) const ROLE: &str = "services";

/// The numbers of the workers.
pub(crate) fn workers() -> impl Iterator<Item = usize> {
    (0..SERVICES.len()).filter(|number| SERVICES[*number] == WORKER)
}
