//! The largest number of connections, and the limits that end growth, nearest first.

use towline_host::PROCESSES_MAX;

use super::{Facts, ProcessCount, Side, Target, bytes, cost, grouped, knobs::tracks};

/// Threads of a process that do not serve.
const THREADS_ASIDE: u64 = 4;

/// The number of quiet connections that the host can hold, for the side and processes of a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Most connections: the nearest wall that is not passable. `None` when no limit could be read.
    pub largest: Option<u64>,
    /// Processes that hold that many, or as many as the target asks for if that is fewer.
    pub processes: u64,
    /// The limits that end growth, nearest first.
    pub walls: Vec<Wall>,
}

/// A limit that ends the growth of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wall {
    /// The resource that runs out.
    pub name: &'static str,
    /// The number of connections at which it runs out.
    pub connections: u64,
    /// The amount of the resource.
    pub limit: String,
    /// The change that moves it.
    pub way_out: String,
    /// Whether more processes pass it, and none of the settings forbids them.
    pub passable: bool,
}

/// Computes the walls for quiet connections: established, with heartbeat, an occasional line.
pub fn prediction(facts: &Facts, target: &Target) -> Prediction {
    let mut walls = process_walls(facts, target);
    walls.extend(host_walls(facts, target));
    walls.extend(memory_walls(facts, target));
    walls.sort_by_key(|wall| wall.connections);
    let standing = walls.iter().find(|wall| !wall.passable);
    let largest = standing.map(|wall| wall.connections);
    let wanted = largest.unwrap_or(u64::MAX).min(target.connections);
    let wanted = Target { connections: wanted, ..target.clone() };
    let processes = processes_meant(facts, &wanted);
    Prediction { largest, processes, walls }
}

fn process_walls(facts: &Facts, target: &Target) -> Vec<Wall> {
    let mut walls = Vec::new();
    let limit = target.settings.limits.connections;
    if let Some(limit) = limit.filter(|_| target.side.serves()) {
        walls.push(Wall {
            name: "limits.connections",
            connections: limit.get().into(),
            limit: grouped(limit.get().into()),
            way_out: "raise it (--max-connections)".to_owned(),
            passable: false,
        });
    }
    let Some(descriptors) = facts.descriptors else { return walls };
    let hold = |count| target.process_holds(facts, count).unwrap_or(0).saturating_mul(count);
    let descriptors_end_at = |count: u64, passable: bool, way_out: String| Wall {
        name: "descriptors a process",
        connections: hold(count),
        limit: grouped(descriptors),
        way_out,
        passable,
    };
    let raise = "raise the limit (ulimit -n)".to_owned();
    match (target.processes, target.side) {
        (ProcessCount::Exactly(count), _) => {
            walls.push(descriptors_end_at(
                count,
                false,
                format!("use more --processes, or {raise}"),
            ));
        }
        // The number of a proxy's processes is not known here.
        (_, Side::Proxy) => walls.push(descriptors_end_at(1, false, raise)),
        (_, side) => {
            let needed = target.processes_needed(facts);
            let way_out = match side {
                Side::Load => "the generator starts more processes by itself".to_owned(),
                _ => format!("use --processes {}", needed.max(2)),
            };
            walls.push(descriptors_end_at(1, true, way_out));
            walls.push(Wall {
                name: "processes",
                connections: hold(PROCESSES_MAX),
                limit: grouped(PROCESSES_MAX),
                way_out: raise,
                passable: false,
            });
        }
    }
    let threads = [
        facts.cgroup.tasks_left,
        facts.sysctls.number("kernel.threads-max"),
        facts.sysctls.number("kernel.pid_max"),
    ];
    if let Some(threads) = threads.into_iter().flatten().min() {
        let each = target.threads(facts, processes_meant(facts, target)) + THREADS_ASIDE;
        walls.push(Wall {
            name: "threads",
            connections: hold(threads / (each * sets(target))),
            limit: grouped(threads),
            way_out: "raise kernel.threads-max, kernel.pid_max or pids.max of the control group"
                .to_owned(),
            passable: false,
        });
    }
    walls
}

/// Processes that run, or would have to run, for the target.
fn processes_meant(facts: &Facts, target: &Target) -> u64 {
    match target.processes {
        ProcessCount::Exactly(count) => count,
        ProcessCount::Auto | ProcessCount::Unspecified => target.processes_needed(facts),
    }
}

/// Sets of processes on this host: one for each end of a connection.
const fn sets(target: &Target) -> u64 {
    match target.side {
        Side::Both => 2,
        Side::Server | Side::Load | Side::Proxy => 1,
    }
}

fn host_walls(facts: &Facts, target: &Target) -> Vec<Wall> {
    let number = |name| facts.sysctls.number(name);
    let ends = target.side.ends();
    let wall = |name, connections, limit, way_out: &str| Wall {
        name,
        connections,
        limit: grouped(limit),
        way_out: way_out.to_owned(),
        passable: false,
    };
    let mut walls = Vec::new();
    if let Some(left) = facts.files_left() {
        walls.push(wall("fs.file-max", left / ends, left, "raise fs.file-max"));
    }
    if let Some(watches) = number("fs.epoll.max_user_watches") {
        let way_out = "raise fs.epoll.max_user_watches";
        walls.push(wall("fs.epoll.max_user_watches", watches / ends, watches, way_out));
    }
    if let Some(ports) = target.ports(facts).filter(|_| target.side != Side::Server) {
        let way_out = "more source addresses or targets, or a wider net.ipv4.ip_local_port_range";
        walls.push(wall("local ports", ports, ports, way_out));
    }
    let max = number("net.netfilter.nf_conntrack_max").filter(|_| tracks(facts));
    if let Some(max) = max {
        let left = max.saturating_sub(number("net.netfilter.nf_conntrack_count").unwrap_or(0));
        let way_out = "raise net.netfilter.nf_conntrack_max, or notrack for the port";
        walls.push(wall("nf_conntrack_max", left, max, way_out));
    }
    walls
}

fn memory_walls(facts: &Facts, target: &Target) -> Vec<Wall> {
    // The base memory of processes grows with their number, so it is charged per connection.
    let processes = processes_meant(facts, target);
    let holds = target.process_holds(facts, processes).unwrap_or(u64::MAX).max(1);
    let sets = sets(target);
    let each = target.bytes_quiet() + cost::PROCESS_BASE * sets / holds;
    let wall = |name, left: u64, way_out: &str| Wall {
        name,
        connections: left.saturating_sub(cost::PROCESS_BASE * sets) / each,
        limit: bytes(left),
        way_out: way_out.to_owned(),
        passable: false,
    };
    let host = facts.memory.available.map(|left| wall("memory", left, "more memory"));
    let group = facts.cgroup.memory.map(|group| {
        wall("memory cgroup limit", group.left(), "raise the limit of the control group")
    });
    host.into_iter().chain(group).collect()
}

impl Prediction {
    /// The first resource that runs out, passable or not.
    pub fn first_wall(&self) -> Option<&Wall> {
        self.walls.first()
    }

    /// The prediction in a few sentences.
    pub fn sentence(&self, target: &Target) -> String {
        let role = match target.side {
            Side::Server => "",
            Side::Load => " as load generator",
            Side::Both => " with both ends on it",
            Side::Proxy => " as a proxy",
        };
        let Some(largest) = self.largest else {
            return "No limit on connections could be read here.".to_owned();
        };
        let mut text = format!("This host can hold about {} connections{role}", grouped(largest));
        if largest < target.connections {
            text += &format!(", fewer than the {} asked for", grouped(target.connections));
        }
        for (place, wall) in self.walls.iter().take(4).enumerate() {
            let at = grouped(wall.connections);
            match place {
                // The first one comes with its remedy.
                0 => {
                    text += &format!(
                        "; the first limit reached is {} ({}), at {at}; beyond it, {}",
                        wall.name, wall.limit, wall.way_out
                    );
                }
                1 => text += &format!("; then {} at {at}", wall.name),
                _ => text += &format!(", {} at {at}", wall.name),
            }
        }
        text + "."
    }
}
