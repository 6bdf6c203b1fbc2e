//! `docs/METRICS.md` lists what a server exports. To write it anew, set `TOWLINE_WRITE_REFERENCE`.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

use towline::{Args, Router, Server, protocol::Lf};
use towline_test_support::{ServerProcess, TempFile, http, tls::Authority};

/// What stands above the table.
const HEAD: &str = "# Metrics

What `/metrics` of a server exports, as it describes itself there: each metric, its type, its labels.
A test compares the tables with running servers.
Counters end in `_total`, and a histogram has the series `_bucket`, `_sum` and `_count`.
Label values are closed sets: no client adds one.

How to read the important ones is in [OPERATIONS.md](OPERATIONS.md#watching-it).

";

/// What stands above the table of what programs of the library export beside it.
const OF_PROGRAMS: &str = "
## Programs of the library

What programs with sessions or a router export beside these, and the `towline` binary does not.
Commands are those of a router; their durations are exported where a command is `timed`.
The values of `command` are those that the program has, and `other`.

";

const COLUMNS: &str = "| metric | type | labels | meaning |
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

/// Help and type of each metric.
fn families(exposition: &str) -> BTreeMap<&str, [&str; 2]> {
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
    families
}

/// A table of those metrics of `exposition` that are `shown`.
fn table(exposition: &str, shown: impl Fn(&str) -> bool) -> String {
    let labels = labels(exposition);
    let mut table = COLUMNS.to_owned();
    for (name, [help, kind]) in families(exposition) {
        if !shown(name) {
            continue;
        }
        let quoted = labels.get(name).or_else(|| labels.get(&*format!("{name}_sum")));
        let quoted = quoted.map(|names| names.iter().map(|name| format!("`{name}`")));
        let labels = quoted.map_or_else(String::new, |names| names.collect::<Vec<_>>().join(", "));
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    table
}

/// What a program with a router exports.
fn of_program() -> String {
    let router = Router::<Lf, ()>::new().command("PING", |_: &mut (), _: Args<'_>| "pong").timed();
    let builder = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
    let running = builder.router(router, |_conn| ()).start().unwrap();
    let exposition = http::get(running.admin_address().unwrap(), "/metrics").body;
    running.drain().unwrap();
    exposition
}

#[test]
fn the_reference_of_metrics_is_what_a_server_exports() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
    // With TLS, whose metrics are exported only then.
    let pair = Authority::new("authority").sign_names(&["localhost"]);
    let (cert, key) = (TempFile::new(&pair.cert), TempFile::new(&pair.key));
    let arguments = ["--threads", "1", "--tls-cert", cert.name(), "--tls-key", key.name()];
    let of_binary = ServerProcess::start(&[], &arguments).get("/metrics");
    let known = families(&of_binary);
    let of_program = table(&of_program(), |name| !known.contains_key(name));
    let expected = [HEAD, &table(&of_binary, |_| true), OF_PROGRAMS, &of_program].concat();
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
