//! `docs/METRICS.md` lists what a server exports. To write it anew, set `TOWLINE_WRITE_REFERENCE`.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

use towline_test_support::ServerProcess;

/// What stands above the table.
const HEAD: &str = "# Metrics

What `/metrics` of a server exports, as it describes itself there: each metric, its type, its labels.
A test compares this table with a running server.
Counters end in `_total`, and a histogram has the series `_bucket`, `_sum` and `_count`.
Label values are closed sets: no client adds one.

A program with a router also exports `towline_commands_total{command,result}`, and for timed commands
`towline_command_duration_seconds{command}`.
How to read the important ones is in [OPERATIONS.md](OPERATIONS.md#watching-it).

| metric | type | labels | meaning |
|---|---|---|---|
";

/// The labels of each metric, but for that of the buckets.
fn labels(exposition: &str) -> BTreeMap<&str, Vec<&str>> {
    let series = exposition.lines().filter(|line| !line.starts_with('#'));
    let labelled = series.filter_map(|line| line.split_once('{'));
    let names = labelled.map(|(metric, rest)| {
        let pairs = rest.split("\",").filter_map(|pair| pair.split_once("=\""));
        (metric, pairs.map(|(name, _)| name).filter(|name| *name != "le").collect())
    });
    names.collect()
}

fn table(exposition: &str) -> String {
    let labels = labels(exposition);
    let mut families = BTreeMap::<&str, [&str; 2]>::new();
    for line in exposition.lines() {
        for (at, kind) in ["# HELP ", "# TYPE "].into_iter().enumerate() {
            if let Some((name, text)) =
                line.strip_prefix(kind).and_then(|line| line.split_once(' '))
            {
                families.entry(name).or_default()[at] = text;
            }
        }
    }
    let mut table = HEAD.to_owned();
    for (name, [help, kind]) in families {
        let quoted = labels.get(name).map(|names| names.iter().map(|name| format!("`{name}`")));
        let labels = quoted.map_or_else(String::new, |names| names.collect::<Vec<_>>().join(", "));
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    table
}

#[test]
fn the_reference_of_metrics_is_what_a_server_exports() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
    let expected = table(&ServerProcess::start(&[], &["--threads", "1"]).get("/metrics"));
    if env::var_os("TOWLINE_WRITE_REFERENCE").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    // Other network namespaces than the first do not show the limits.
    let shown = Path::new("/proc/sys/net/ipv4/tcp_mem").exists();
    let row = |line: &&str| shown || !line.contains("`towline_kernel_tcp_memory_limit_bytes`");
    let [written, expected] =
        [&written, &expected].map(|text| text.lines().filter(row).collect::<Vec<_>>());
    for (written, expected) in written.iter().zip(&expected) {
        assert_eq!(written, expected, "TOWLINE_WRITE_REFERENCE=1 writes it anew");
    }
    assert_eq!(written.len(), expected.len());
}
