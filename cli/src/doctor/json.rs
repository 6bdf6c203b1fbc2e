//! The diagnosis as one JSON object, whose fields docs/OPERATIONS.md documents.

use serde_json::{Value, json};
use towline_doctor::{Facts, ProcessCount, Row, Wall};

use super::Diagnosis;

pub(super) fn object(diagnosis: &Diagnosis) -> String {
    let Diagnosis { facts, target, rows, prediction } = diagnosis;
    let processes = match target.processes {
        ProcessCount::Unspecified => Value::Null,
        ProcessCount::Auto => "auto".into(),
        ProcessCount::Exactly(count) => count.into(),
    };
    let tls =
        facts.handshakes.zip(target.reconnect_seconds(facts)).map(|(rates, (full, resumed))| {
            let per_core = json!({ "full": rates.full, "resumed": rates.resumed });
            json!({
                "handshakes_per_core_second": per_core,
                "reconnect_seconds": { "full": full, "resumed": resumed },
            })
        });
    let object = json!({
        "answer": format!("{} {}", diagnosis.answer(), prediction.sentence(target)),
        "verdict": diagnosis.worst().name(),
        "target": {
            "connections": target.connections,
            "burst": target.burst,
            "processes": processes,
            "side": target.side.name(),
            "active_percent": target.active_percent,
            "lines_per_second": target.lines_per_second,
            "sources": target.sources,
            "targets": target.targets,
            "tls": target.tls,
        },
        "tls": tls,
        "place": facts.environment.name(),
        "prediction": {
            "connections": prediction.largest,
            "processes": prediction.processes,
            "first_wall": prediction.first_wall().map(wall),
            "walls": prediction.walls.iter().map(wall).collect::<Vec<_>>(),
        },
        "rows": rows.iter().map(|each| row(each, facts)).collect::<Vec<_>>(),
    });
    format!("{object:#}\n")
}

fn wall(wall: &Wall) -> Value {
    json!({
        "name": wall.name,
        "connections": wall.connections,
        "limit": wall.limit,
        "way_out": wall.way_out,
        "passable": wall.passable,
    })
}

fn row(row: &Row, facts: &Facts) -> Value {
    let sides: Vec<_> = row.sides.iter().map(|side| side.name()).collect();
    json!({
        "name": row.name,
        "scope": row.scope.name(),
        "sides": sides,
        "value": row.value,
        "need": row.need,
        "verdict": row.verdict.name(),
        "why": row.why,
        "fix": row.fix_here(facts),
    })
}
