//! What an owner is called in the tables: `machine/pid/id/host/service`.

use uuid::Uuid;

/// An owner's name, taken apart.
pub(super) struct Identity {
    machine: String,
    pub(super) pid: u32,
    pub(super) host: String,
    pub(super) service: String,
}

impl Identity {
    /// The name of this process, another one each time.
    pub(super) fn name_here(service: &str) -> String {
        format!("{}/{}/{}/{}/{service}", machine(), std::process::id(), Uuid::now_v7(), host())
    }

    pub(super) fn parse(owner: &str) -> Self {
        let mut parts = owner.splitn(5, '/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let (machine, pid, _id, host, service) = (next(), next(), next(), next(), next());
        Self { machine, pid: pid.parse().unwrap_or(0), host, service }
    }

    /// Whether it was a process of this very machine and is gone. Never true where that cannot be known.
    pub(super) fn died_here(&self) -> bool {
        let here = machine();
        let known = here != "unknown" && self.machine == here && self.pid > 0;
        known && !std::path::Path::new("/proc").join(self.pid.to_string()).exists()
    }
}

/// `service on host, process 17`: an owner as people read it.
pub(super) fn readable(owner: &str) -> String {
    let Identity { host, pid, service, .. } = Identity::parse(owner);
    format!("{service} on {host}, process {pid}")
}

/// Names the machine and its process numbers' space as far as that can be known: boot and process namespace on Linux.
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    match boot.trim() {
        "" => "unknown".to_owned(),
        boot => format!("{boot} {}", space.display()),
    }
}

/// The machine's name, as people know it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().replace('/', "-");
    if name.is_empty() { std::env::var("HOSTNAME").unwrap_or_else(|_| "unknown".to_owned()) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_back_whatever_its_service_is_called() {
        let identity = Identity::parse(&Identity::name_here("a/b"));
        assert_eq!((identity.pid, identity.service.as_str()), (std::process::id(), "a/b"));
        assert!(!identity.died_here(), "this process lives");
        assert!(!Identity::parse("nonsense").died_here(), "what cannot be known is not dead");
    }
}
