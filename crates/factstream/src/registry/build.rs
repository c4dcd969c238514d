//! A handler as this build's code declares it.

use crate::handler::options::Start;
use crate::handler::tables::Managed;
use crate::leases::{Builds, LANES};
use crate::processor::{HandlerKind, Spec};
use factstream_core::event::EventType;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Names this kind of digest (RFC 9562, version 5: SHA-1 of a namespace and a text).
const NAMESPACE: Uuid = Uuid::from_u128(0x5a0f_6b6e_7c1d_4f0e_9d64_0f5e_8b9e_2026);

/// What must be the same in all processes that run a handler at once.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    pub(crate) handler: String,
    pub(crate) kind: HandlerKind,
    pub(crate) service: String,
    /// Other names of the service, from before.
    pub(crate) formerly: BTreeSet<String>,
    /// What its effects depend on: tables, the version of its logic, event types. JSON.
    pub(crate) shape: String,
    /// The tables that a rebuild fills.
    pub(crate) tables: Vec<String>,
    pub(crate) event_types: BTreeMap<String, Option<String>>,
    /// What factstream 0.1 called event types that have another name today.
    pub(crate) former_names: Vec<(&'static str, &'static str)>,
    pub(crate) topics: BTreeSet<String>,
    pub(crate) shards: u32,
    pub(crate) has_lanes: bool,
    pub(crate) reads_log: bool,
    /// Where it begins in the log.
    pub(crate) start: Start,
    /// Whether events that earlier builds have passed over may stay so.
    pub(crate) leaves_skipped: bool,
    /// The digest of all of it but the lanes, which change nothing that another process would have to know.
    pub(crate) id: String,
}

#[derive(Serialize)]
struct Shape<'a> {
    kind: HandlerKind,
    version: u32,
    event_types: Vec<&'a String>,
    tables: Vec<String>,
}

impl Build {
    pub(crate) fn new(
        spec: &Spec,
        managed: Option<&Managed>,
        service: &str,
        formerly: &BTreeSet<String>,
    ) -> Self {
        let reads_log = spec.kind.reads_log();
        let topic = |event_type: &EventType| event_type.topic.filter(|_| !reads_log).map(str::to_owned);
        let event_types: BTreeMap<String, Option<String>> = spec
            .reaction
            .event_types()
            .into_iter()
            .flat_map(|event_type| event_type.names().map(move |name| (name.to_owned(), topic(event_type))))
            .chain(spec.reaction.other_inputs().into_iter().map(|name| (name, None)))
            .collect();
        let types = spec.reaction.event_types().into_iter();
        let former_names = types.filter_map(|of| Some((of.former_name()?, of.name)));
        let topics: BTreeSet<String> = event_types.values().flatten().cloned().collect();
        let tables = managed.map_or(&[][..], |managed| &managed.tables);
        let shape = Shape {
            kind: spec.kind,
            version: spec.options.version,
            event_types: event_types.keys().collect(),
            tables: tables.iter().map(|table| format!("{}: {}", table.name, table.shape())).collect(),
        };
        let shape = serde_json::to_string(&shape).expect("names and numbers can be written as JSON");
        let mut all = format!("{shape}\n{event_types:?}\n{}", spec.options.shards);
        if spec.options.causal.is_some() {
            all.push_str("\ncausal"); // a build without it would handle effects before their causes
        }
        Self {
            handler: spec.handler.clone(),
            kind: spec.kind,
            service: service.to_owned(),
            formerly: formerly.clone(),
            shape,
            tables: tables.iter().map(|table| table.name.clone()).collect(),
            event_types,
            former_names: former_names.collect(),
            topics,
            shards: spec.options.shards,
            has_lanes: spec.options.concurrency > 1,
            reads_log,
            start: spec.options.start,
            leaves_skipped: spec.options.leaves_skipped,
            id: Uuid::new_v5(&NAMESPACE, all.as_bytes()).to_string(),
        }
    }
}

/// What a process that runs these says.
pub(crate) fn told(builds: &[Build]) -> Builds {
    let told = |build: &Build| format!("{}{}", build.id, if build.has_lanes { LANES } else { "" });
    builds.iter().map(|build| (build.handler.clone(), told(build))).collect()
}
