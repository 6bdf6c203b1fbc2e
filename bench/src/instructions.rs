//! The regression gate that a busy machine cannot blur: user instructions per ping-pong line, counted
//! by callgrind. Two runs of different length are subtracted, so start-up and shutdown cancel out.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Error,
    child::Server,
    clock, generator,
    implementation::{Cores, Stable, Subject},
    stats::short,
};

/// A server under callgrind is some fifty times slower, its start included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where callgrind writes, until the next count.
const OUT: &str = "callgrind.out";

pub(crate) fn report(stable: &Stable, lines: u64, keep: Option<&Path>) -> Result<String, Error> {
    let mut table = String::from("| server | user instructions per ping-pong line |\n|---|---|\n");
    for subject in [Subject::Towline, Subject::BareTokio] {
        let shown = if stable.has(subject) {
            let count = short(per_line(stable, subject, lines)?);
            if let Some(dir) = keep {
                fs::create_dir_all(dir)?;
                let name = format!("callgrind.{}.out", subject.name());
                fs::copy(stable.shop.path(OUT), dir.join(name))?;
            }
            count
        } else {
            "not measured: no towline binary".to_owned()
        };
        table.push_str(&format!("| {} | {shown} |\n", subject.name()));
    }
    Ok(table)
}

#[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
fn per_line(stable: &Stable, subject: Subject, lines: u64) -> Result<f64, Error> {
    eprintln!("{}: {lines} and {} lines under callgrind", subject.name(), 2 * lines);
    let shorter = count(stable, subject, lines)?;
    let longer = count(stable, subject, 2 * lines)?;
    Ok((longer as f64 - shorter as f64) / lines as f64)
}

fn count(stable: &Stable, subject: Subject, lines: u64) -> Result<u64, Error> {
    let out = stable.shop.path(OUT);
    let plain = stable.command(subject, &[])?;
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(plain.get_program())
        .args(plain.get_args());
    let mut server = stable.start_command(&mut command, PATIENCE, Cores::One)?;
    generator::exchange(&stable.shop, &server, lines)?;
    stop(&mut server)?;
    read_total(&out)
}

/// Asks the server to end, so that callgrind writes its count.
fn stop(server: &mut Server) -> Result<(), Error> {
    let child = &mut server.process.0;
    kill_process(Pid::from_child(child), Signal::TERM)?;
    let begun = clock::now();
    while child.try_wait()?.is_none() {
        if clock::now().saturating_sub(begun) > PATIENCE {
            return Err("the server did not end on SIGTERM".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
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
