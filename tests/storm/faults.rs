//! How a fault is done, and healed. Each returns when it has healed, and tells whether it was done: not while its target is in
//! the middle of another one, and not where this machine cannot do it.

mod session;
mod foreign;
mod partners;

use crate::cast::{ROLE, SERVICES, WORKER, workers};
use crate::clock::Clock;
use crate::partner::Ledger;
use crate::proxy::Proxy;
use crate::schedule::{Fault, Link, RIGHTS, Target, Trouble, after};
use crate::system::System;
use session::Session;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the store may be down until a right is given back.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(120);
/// How long Kafka may be down meanwhile.
const ON_BROKER_WITHIN: Duration = Duration::from_secs(60);
/// How often a member comes and goes, and how long each stays.
const MEMBERS: u32 = 5;
const STAY: Duration = Duration::from_secs(2);

/// Does a fault, beside whatever goes on. Gives when it had healed; `None` when it was not done, for its target was in
/// the middle of another.
pub(crate) fn strike(system: &Arc<System>, fault: Fault) -> JoinHandle<Option<Instant>> {
    let system = Arc::clone(system);
    thread::spawn(move || until_healed(&system, fault).then(Instant::now))
}

/// Does a fault until it has healed.
fn until_healed(system: &System, fault: Fault) -> bool {
    let done = match fault {
        Fault::Kill(target) => kill(system, target),
        Fault::Pause(target, time) => pause(system, target, time),
        Fault::Network(link, trouble, time) => network(system, link, trouble, time),
        Fault::HoldLock(time) => {
            Session::open(&system.store).and_then(|session| session.hold_lock(time)).ok()
        }
        Fault::ReadLong(time) => {
            Session::open(&system.store).and_then(|session| session.read_long(time)).ok()
        }
        Fault::Clock(number, hours) => set_clock(system, number, hours),
        Fault::Replay => foreign::publish_again(system),
        Fault::Churn(number) => {
            churn(system, number);
            Some(())
        }
        Fault::FullDisk(time) => fill_disk(system, time),
        Fault::RollOut(release) => roll_out(system, release),
        Fault::Split(release) => split(system, [release, after(release)]),
        Fault::Foreign => partners::publish(system, Ledger::every_kind),
        Fault::Poison => partners::publish(system, Ledger::poison_run),
        Fault::MakeAgain => partners::make_again(system),
        Fault::DeleteUnread => partners::delete_unread(system),
        Fault::MoveBroker => move_broker(system),
        Fault::Revoke(right, time) => revoke(system, RIGHTS[right % RIGHTS.len()], time),
        Fault::FailOver => fail_over(system),
    };
    done.is_some()
}

fn kill(system: &System, target: Target) -> Option<()> {
    match target {
        Target::Service(number) => restart(system, number, None),
        Target::Store => {
            let postgres = try_lock(system.postgres.as_ref()?)?;
            postgres.kill();
            postgres.start_again();
            Some(())
        }
        Target::Broker => {
            let mut kafka = try_lock(system.kafka.as_ref()?)?;
            kafka.kill();
            kafka.start();
            Some(())
        }
    }
}

fn restart(system: &System, number: usize, clock: Option<&Clock<'_>>) -> Option<()> {
    let mut slot = try_lock(&system.services[number])?;
    if let Some(server) = slot.take() {
        server.kill();
    }
    *slot = Some(system.start_service(number, clock));
    Some(())
}

fn pause(system: &System, target: Target, time: Duration) -> Option<()> {
    match target {
        Target::Service(number) => {
            let slot = try_lock(&system.services[number])?;
            let server = slot.as_ref()?;
            server.pause();
            thread::sleep(time);
            server.resume();
        }
        Target::Broker => {
            let kafka = try_lock(system.kafka.as_ref()?)?;
            kafka.pause();
            thread::sleep(time);
            kafka.resume();
        }
        Target::Store => {
            let postgres = try_lock(system.postgres.as_ref()?)?;
            postgres.pause();
            thread::sleep(time);
            postgres.resume();
        }
    }
    Some(())
}

fn network(system: &System, link: Link, trouble: Trouble, time: Duration) -> Option<()> {
    let proxy: &Proxy = match link {
        Link::Store(number) => system.to_store.get(number)?,
        Link::Broker => system.to_broker.as_ref()?,
    };
    let lost = proxy.trouble(trouble, time)?;
    if trouble == Trouble::LostCommit {
        println!("          {lost} replies to COMMIT were swallowed");
    }
    Some(())
}

fn set_clock(system: &System, number: usize, hours: i8) -> Option<()> {
    let clock = Clock { library: &system.clock, hours };
    restart(system, number, Some(&clock))?;
    clock.check(&system.url(number));
    Some(())
}

/// The workers are stopped or killed one after the other, and started as another release; whoever is started from now on is of that
/// release, too.
fn roll_out(system: &System, release: u32) -> Option<()> {
    for (nth, number) in workers().enumerate() {
        system.releases[number].store(release, Ordering::Relaxed);
        let mut slot = try_lock(&system.services[number])?;
        match slot.take() {
            // It may have been aborted by its handler, and its store may be away.
            Some(server) if nth % 2 == 0 => drop(server.stop()),
            Some(server) => server.kill(),
            None => {}
        }
        *slot = Some(system.start_service(number, None));
        drop(slot);
        thread::sleep(STAY);
    }
    Some(())
}

/// Both workers are killed, and started in the same moment, each as another release: each would have the read model its own way.
fn split(system: &System, releases: [u32; 2]) -> Option<()> {
    let mut slots = Vec::new();
    for number in workers() {
        slots.push((number, try_lock(&system.services[number])?));
    }
    for ((number, slot), release) in slots.iter_mut().zip(releases) {
        system.releases[*number].store(release, Ordering::Relaxed);
        if let Some(server) = slot.take() {
            server.kill();
        }
    }
    thread::scope(|scope| {
        let started: Vec<_> = slots
            .into_iter()
            .map(|(number, slot)| (slot, scope.spawn(move || system.start_service(number, None))))
            .collect();
        for (mut slot, server) in started {
            *slot = Some(server.join().expect("a worker starts"));
        }
    });
    Some(())
}

/// What is done with Kafka, while it may be down; `None` when it is not done in time.
fn on_broker<T>(work: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let done = runtime.block_on(async { tokio::time::timeout(ON_BROKER_WITHIN, work).await.ok() });
    if done.is_none() {
        println!("          not done: Kafka took longer than {ON_BROKER_WITHIN:?}");
    }
    done
}

/// One process more, which stays for two seconds, is stopped or killed, and comes again.
fn churn(system: &System, number: usize) {
    for member in 0..MEMBERS {
        let begun = Instant::now();
        // The store or the broker may be down: then this one did not come.
        if let Ok(server) = system.try_start(number, None) {
            thread::sleep(STAY.saturating_sub(begun.elapsed()));
            if member % 2 == 0 {
                server.kill();
            } else {
                // A worker may have been aborted by its handler meanwhile.
                let is_worker = SERVICES[number] == WORKER;
                assert!(server.stop().success() || is_worker, "a member did not stop with success");
            }
        }
        thread::sleep(STAY.saturating_sub(begun.elapsed()));
    }
}

fn move_broker(system: &System) -> Option<()> {
    let mut kafka = try_lock(system.kafka.as_ref()?)?;
    system.move_broker(&mut kafka);
    Some(())
}

/// Nobody has changed the store's rights when this begins, and nobody else does meanwhile.
fn revoke(system: &System, right: &str, time: Duration) -> Option<()> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = try_lock(&TURN)?;
    let mut session = Session::open(&system.store).ok()?;
    session.run(&format!("SET lock_timeout = '2s'; REVOKE {right} FROM {ROLE}")).ok()?;
    thread::sleep(time);
    // The server may be down, and the session with it.
    let deadline = Instant::now() + GIVEN_BACK_WITHIN;
    loop {
        match Session::open(&system.store)
            .and_then(|mut session| session.run(&format!("GRANT {right} TO {ROLE}")))
        {
            Ok(()) => return Some(()),
            Err(error) => assert!(Instant::now() < deadline, "{right} is not given back: {error}"),
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn fail_over(system: &System) -> Option<()> {
    let mut postgres = try_lock(system.postgres.as_ref()?)?;
    postgres.fail_over();
    Some(())
}

fn fill_disk(system: &System, time: Duration) -> Option<()> {
    let disk = try_lock(system.disk.as_ref()?)?;
    // Nobody else may start or end the server meanwhile; it may end by itself when it cannot write its WAL.
    let postgres = match &system.postgres {
        Some(postgres) => Some(try_lock(postgres)?),
        None => None,
    };
    disk.fill(time);
    if let Some(postgres) = postgres {
        postgres.start_again();
    }
    Some(())
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
