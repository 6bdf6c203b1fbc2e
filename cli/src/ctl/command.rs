//! The commands and their arguments.

use std::time::Duration;

use serde_json::{Value, json};

use super::{connections, profile::Profile};
use crate::flag_value;

/// What is sent to the server.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Close connections in order: what was read is answered first
    Kill(Kill),
    /// Close a share of the connections, or drain and stop the server
    Drain(Drain),
    /// Change settings that a reload can change; they stay until the server ends
    Set {
        /// A key and its value; without a value (`KEY=`), what was set is withdrawn
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<String>,
    },
    /// Change the level of the log: error, warn, info, debug, trace, or - for the configured one
    Log {
        /// The least severe level that is logged
        #[arg(value_name = "LEVEL")]
        level: String,
    },
    /// Print the main figures
    Stats,
    /// Load the configuration again, as SIGHUP does
    Reload,
    /// Sample what the server spends CPU time on, as a flame graph; needs perf, on the server's host
    Profile(Profile),
}

/// Which connections are closed, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    /// Connections, as logs and lists name them: 0-17
    #[arg(value_name = "ID", required_unless_present = "matching", conflicts_with = "matching")]
    pub(crate) ids: Vec<String>,
    /// Close those that meet all conditions: peer=10.0.0.0/8,state=write_wait,wait>10s
    #[arg(long = "match", value_name = "CONDITIONS")]
    pub(crate) matching: Option<String>,
    /// Do not wait five seconds for peers that do not read and services that do not answer: unsent
    /// replies are lost
    #[arg(long)]
    pub(crate) now: bool,
    /// Do not ask back
    #[arg(long)]
    pub(crate) yes: bool,
}

/// How much is drained.
#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    /// Close only this share of the connections, the oldest first, and serve on: 10% or 0.1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    share: Option<f64>,
    /// Time over which they are closed [default: 60s]
    #[arg(long, value_name = "TIME", requires = "share", value_parser = flag_value::duration)]
    over: Option<Duration>,
}

/// Time over which a share is closed by default.
const OVER: Duration = Duration::from_secs(60);

impl Drain {
    fn over(&self) -> Duration {
        self.over.unwrap_or(OVER)
    }

    /// The arguments of the command.
    pub(crate) fn body(&self) -> Value {
        match self.share {
            Some(share) => json!({ "share": share, "over_seconds": self.over().as_secs_f64() }),
            None => json!({}),
        }
    }

    /// What is said when the server has taken it.
    pub(crate) fn said(&self, count: u64) -> String {
        let connections = connections(count);
        match self.share {
            Some(_) => format!("closing {connections} over {:?}\n", self.over()),
            None => format!("draining {connections}, and then the server stops\n"),
        }
    }
}

/// A share: a percentage, or a number up to 1.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let share = number.parse::<f64>().map(|number| number / unit);
    match share {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("expected a share such as 10% or 0.1, up to 100%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_is_a_percentage_or_a_number_up_to_one() {
        for (text, expected) in [("10%", 0.1), ("0.1", 0.1), ("100 %", 1.0), ("1", 1.0)] {
            assert_eq!(share(text), Ok(expected), "{text}");
        }
        for text in ["", "%", "0", "10", "101%", "-1%", "NaN", "inf", "ten"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
