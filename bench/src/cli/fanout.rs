//! `towline-bench fanout`: its flags.

use std::{path::PathBuf, time::Duration};

use super::{Binary, print_table, time};
use crate::{
    Error,
    fanout::{self, Plan, SCENARIOS},
    launcher::find_example,
    reference,
    select::select,
};

#[derive(Debug, clap::Args)]
pub(super) struct Fanout {
    #[command(flatten)]
    binary: Binary,
    /// The library's example `pubsub` [default: the one in `examples` beside this binary]
    #[arg(long, value_name = "PATH")]
    pubsub: Option<PathBuf>,
    /// Turns of each server
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Time measured in a turn
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5s")]
    seconds: Duration,
    /// Only scenarios whose names begin with this; several may follow
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
}

impl Fanout {
    pub(super) fn run(self) -> Result<(), Error> {
        // Servers inherit it, and some leave it as it is.
        reference::raise_descriptor_limit()?;
        let plan = Plan {
            towline: self.binary.find()?,
            pubsub: find_example(self.pubsub, "pubsub"),
            rounds: self.rounds,
            seconds: self.seconds,
        };
        let scenarios = select(&SCENARIOS, |scenario| scenario.name, &self.only)?;
        print_table(&fanout::report(&plan, &scenarios)?);
        Ok(())
    }
}
