//! Which of our crates may use which: the table in ARCHITECTURE.md, enforced.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// A crate, and what it may use of ours. `*`: anything.
const MAY_USE: [(&str, &[&str]); 25] = [
    ("event", &[]),
    ("service", &[]),
    ("googleapis", &[]),
    ("objects", &[]),
    ("content-encoding", &[]),
    ("catalog", &["event"]),
    ("exactly-once", &["event", "catalog"]),
    ("pubsub", &["event", "catalog", "googleapis", "service"]),
    ("dedupe", &["event", "catalog", "exactly-once"]),
    ("rows", &["event", "catalog"]),
    ("storage-write", &["event", "catalog", "googleapis", "rows"]),
    ("archive", &["event", "catalog", "objects"]),
    ("registry", &["event", "catalog", "objects"]),
    ("shape", &["event", "catalog"]),
    ("receiver", &["service", "event", "catalog", "content-encoding", "pubsub", "rows", "shape"]),
    ("gtfs-realtime", &[]),
    ("poller", &["service", "event", "catalog", "pubsub", "shape", "objects", "gtfs-realtime"]),
    (
        "loader",
        &[
            "service",
            "event",
            "catalog",
            "pubsub",
            "dedupe",
            "exactly-once",
            "storage-write",
            "objects",
            "registry",
            "rows",
        ],
    ),
    // The loader with one verdict: it gives events up by the loader's own claims.
    ("deadletter", &["service", "event", "pubsub", "loader"]),
    ("compactor", &["service", "event", "catalog", "pubsub", "archive", "objects"]),
    ("replayer", &["service", "event", "catalog", "pubsub", "rows", "storage-write", "archive", "objects"]),
    ("local-cloud", &["event", "catalog", "content-encoding", "googleapis"]),
    ("pipas", &["*"]),
    ("tests", &["*"]),
    ("model", &["*"]),
];

#[test]
fn no_crate_uses_what_it_may_not() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let may_use: BTreeMap<_, _> = MAY_USE.into_iter().collect();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let allowed = may_use.get(name).unwrap_or_else(|| panic!("{name} is not in the table of edges"));
        for dependency in &package.dependencies {
            let used = dependency.name.as_str();
            let counts = ours.contains(used) && dependency.kind == DependencyKind::Normal;
            assert!(!counts || allowed.contains(&"*") || allowed.contains(&used), "{name} must not use {used}");
        }
    }
}

#[test]
fn only_pipas_and_the_tests_build_the_query_engine() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    for package in &metadata.packages {
        let uses = package.dependencies.iter().any(|dependency| dependency.name == "local-cloud");
        let may = matches!(package.name.as_str(), "pipas" | "tests" | "local-cloud");
        assert!(may || !uses, "{} must not use local-cloud", package.name);
    }
}
