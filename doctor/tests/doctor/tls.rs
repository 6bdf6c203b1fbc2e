use towline_config::Settings;
use towline_doctor::{Facts, Handshakes, Side, Target, Verdict, prediction, rows};

use crate::tree::Tree;

#[test]
fn handshakes_are_a_row_where_clients_speak_tls_and_are_measured_against_the_burst() {
    let name = "TLS handshakes";
    let mut facts = Tree::ample().facts();
    let mut target = Target::new(100_000, Side::Server, Settings::default());
    let found = |facts: &Facts, target: &Target| {
        rows(facts, target).into_iter().find(|row| row.name == name)
    };
    assert_eq!(found(&facts, &target), None);

    target.tls = true;
    assert_eq!(found(&facts, &target).unwrap().verdict, Verdict::Unknown, "nothing was measured");
    // Four cores: 20,000 full and 80,000 resumed handshakes per second, of 100,000.
    facts.handshakes = Some(Handshakes { full: 5_000.0, resumed: 20_000.0 });
    let row = found(&facts, &target).unwrap();
    assert_eq!(row.verdict, Verdict::Ok);
    let shown = row.value.unwrap();
    assert_eq!(shown, "20,000/s: all in 5.0 s, resumed in 1.2 s");
    target.burst = 20_001;
    let row = found(&facts, &target).unwrap();
    assert_eq!((row.verdict, row.need.as_str()), (Verdict::Warn, "at least 20,001/s"));
    assert!(row.fix.is_some());
    target.side = Side::Load;
    assert_eq!(found(&facts, &target), None, "it is the server that computes them here");
}

#[test]
fn connections_over_tls_take_the_memory_that_was_measured() {
    let facts = Tree::ample().facts();
    let mut target = Target::new(100_000, Side::Server, Settings::default());
    let memory = |target: &Target| {
        let walls = prediction(&facts, target).walls;
        walls.into_iter().find(|wall| wall.name == "memory").unwrap().connections
    };
    let plain = memory(&target);
    target.tls = true;
    let over_tls = memory(&target);
    // 830 and 4,500 bytes of the process, 3,800 of the kernel each time.
    assert!(plain * 10 > over_tls * 17 && plain * 10 < over_tls * 19, "{plain} {over_tls}");
}
