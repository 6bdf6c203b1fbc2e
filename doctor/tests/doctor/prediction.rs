use towline_config::Settings;
use towline_doctor::{ProcessCount, Side, Target, prediction};

use crate::tree::Tree;

fn target(connections: u64, side: Side) -> Target {
    Target::new(connections, side, Settings::default())
}

fn limited(hard: u64) -> Tree {
    let limits = format!("Max open files   1024   {hard}   files\n");
    Tree::ample().with("proc/self/limits", &limits)
}

#[test]
fn one_process_ends_at_its_descriptors_and_more_lead_past_it() {
    let facts = limited(20_000).facts();
    let mut target = target(1_000_000, Side::Server);
    let prediction_ = prediction(&facts, &target);
    let first = prediction_.first_wall().unwrap();
    // 64 aside and 4 for each of four threads.
    assert_eq!(
        (first.name, first.connections, first.passable),
        ("descriptors a process", 19_916, true)
    );
    assert_eq!(prediction_.processes, 51);
    assert!(prediction_.largest.unwrap() > 1_000_000);
    let said = prediction_.sentence(&target);
    assert!(
        said.contains("descriptors a process (20,000), at 19,916; beyond it, use --processes 51"),
        "{said}"
    );

    target.processes = ProcessCount::Exactly(10);
    let ten = prediction(&facts, &target);
    // Doctor gave each of ten processes all four threads; a server gives them one each.
    assert_eq!(ten.largest, Some(199_310));
    assert!(ten.sentence(&target).contains("fewer than the 1,000,000 asked for"));
}

#[test]
fn walls_come_nearest_first_and_the_nearest_that_stands_decides() {
    let facts = limited(20_000).with("proc/sys/fs/file-max", "301000").facts();
    let walls = prediction(&facts, &target(1_000, Side::Server)).walls;
    assert!(walls.is_sorted_by_key(|wall| wall.connections), "{walls:#?}");
    assert_eq!((walls[1].name, walls[1].connections), ("fs.file-max", 300_000));
    assert_eq!(prediction(&facts, &target(1_000, Side::Server)).largest, Some(300_000));
    assert_eq!(prediction(&facts, &target(1_000, Side::Both)).largest, Some(150_000));
}

#[test]
fn a_generator_ends_at_its_ports() {
    let facts = Tree::ample().with("proc/sys/net/ipv4/ip_local_port_range", "32768 60999").facts();
    let mut target = target(100_000, Side::Load);
    assert_eq!(prediction(&facts, &target).largest, Some(28_232));
    target.sources = Some(3);
    assert_eq!(prediction(&facts, &target).largest, Some(84_696));
    target.targets = 2;
    assert_eq!(prediction(&facts, &target).largest, Some(169_392));
}

#[test]
fn memory_ends_what_nothing_else_does() {
    let facts = Tree::ample()
        .with("sys/fs/cgroup/towline.slice/memory.max", "1073741824")
        .with("sys/fs/cgroup/towline.slice/memory.current", "0")
        .facts();
    let prediction_ = prediction(&facts, &target(1_000, Side::Server));
    assert_eq!(prediction_.first_wall().unwrap().name, "memory cgroup limit");
    // A gibibyte at 4.5 KiB each.
    assert!((200_000..260_000).contains(&prediction_.largest.unwrap()), "{prediction_:?}");
}

#[test]
fn tracked_connections_end_with_the_table() {
    let facts = Tree::ample().with("proc/sys/net/netfilter/nf_conntrack_max", "5010").facts();
    assert_eq!(prediction(&facts, &target(1_000, Side::Server)).largest, Some(5_000));
}

#[test]
fn a_host_that_says_nothing_predicts_nothing() {
    let facts = Tree::empty().facts();
    let prediction_ = prediction(&facts, &target(1_000, Side::Server));
    assert_eq!((prediction_.largest, prediction_.walls.len()), (None, 0));
    assert!(prediction_.sentence(&target(1_000, Side::Server)).contains("could be read"));
}
