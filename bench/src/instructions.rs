//! User instructions per ping-pong line, counted by callgrind: a regression gate that does not depend
//! on how busy the machine is. Two runs of different length are subtracted, so that start and end
//! cancel out.

use std::{fs, path::Path, process::Command, time::Duration};

use crate::{
    Error, generator,
    implementation::Implementation,
    launcher::{Cores, Launcher},
    stats::short,
};

/// Longest wait for a server's start and end, which take some fifty times as long under callgrind.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The file that callgrind writes, replaced by the next count.
const OUT: &str = "callgrind.out";

const COUNTED: [Implementation; 7] = [
    Implementation::Towline,
    Implementation::BareTokio,
    Implementation::Batch,
    Implementation::EachLine,
    Implementation::LineService,
    Implementation::Router,
    Implementation::Session,
];

pub(crate) fn report(
    launcher: &Launcher,
    lines: u64,
    keep: Option<&Path>,
) -> Result<String, Error> {
    let mut table = String::from("| server | user instructions per ping-pong line |\n|---|---|\n");
    for implementation in COUNTED {
        let shown = if launcher.has(implementation) {
            let count = short(per_line(launcher, implementation, lines)?);
            if let Some(dir) = keep {
                fs::create_dir_all(dir)?;
                let name = format!("callgrind.{}.out", implementation.name());
                fs::copy(launcher.programs.path(OUT), dir.join(name))?;
            }
            count
        } else {
            "not measured: not built".to_owned()
        };
        table.push_str(&format!("| {} | {shown} |\n", implementation.name()));
    }
    Ok(table)
}

#[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
fn per_line(launcher: &Launcher, implementation: Implementation, lines: u64) -> Result<f64, Error> {
    eprintln!("{}: {lines} and {} lines under callgrind", implementation.name(), 2 * lines);
    let shorter = count(launcher, implementation, lines)?;
    let longer = count(launcher, implementation, 2 * lines)?;
    Ok((longer as f64 - shorter as f64) / lines as f64)
}

fn count(launcher: &Launcher, implementation: Implementation, lines: u64) -> Result<u64, Error> {
    let out = launcher.programs.path(OUT);
    let plain = launcher.command(implementation, &[])?;
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(plain.get_program())
        .args(plain.get_args());
    let server = launcher.start_command(&mut command, TIMEOUT, Cores::One)?;
    generator::exchange(&launcher.programs, &server, lines)?;
    // The end makes callgrind write its count; whether it ended in order does not matter.
    server.stop(TIMEOUT)?;
    read_total(&out)
}

fn read_total(out: &Path) -> Result<u64, Error> {
    let text = fs::read_to_string(out).map_err(|e| format!("no count from callgrind: {e}"))?;
    total(&text).ok_or_else(|| "no total in callgrind's output".into())
}

fn total(text: &str) -> Option<u64> {
    let line =
        text.lines().rev().find(|l| l.starts_with("totals:") || l.starts_with("summary:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_under_either_name() {
        assert_eq!(total("events: Ir\nfn=(0)\n1 2\n\ntotals: 98765\n"), Some(98_765));
        assert_eq!(total("events: Ir\nsummary: 12\n1 2\n"), Some(12));
        assert_eq!(total("events: Ir\n"), None);
    }
}
