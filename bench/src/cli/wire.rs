//! `towline-bench wire`: its flags.

use std::{path::PathBuf, time::Duration};

use super::{Binary, print_table, time};
use crate::{
    Error, reference,
    select::select,
    wire::{self, Plan, Programs, REQUESTS},
};

#[derive(Debug, clap::Args)]
pub(super) struct Wire {
    #[command(flatten)]
    binary: Binary,
    /// The library's example `kv` [default: the one in `examples` beside this binary]
    #[arg(long, value_name = "PATH")]
    kv: Option<PathBuf>,
    /// The library's example `memcached` [default: the one in `examples` beside this binary]
    #[arg(long, value_name = "PATH")]
    memcached: Option<PathBuf>,
    /// Turns of each server
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Requests of redis-benchmark in a turn without a pipeline; 16 times as many with one
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1000..))]
    requests: u64,
    /// Time of a turn of `towline load`, for memcached
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "2s")]
    seconds: Duration,
    /// Only requests whose names begin with this; several may follow
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
}

impl Wire {
    pub(super) fn run(self) -> Result<(), Error> {
        reference::raise_descriptor_limit()?;
        let plan = Plan {
            towline: self.binary.find()?,
            programs: Programs::find(self.kv, self.memcached),
            rounds: self.rounds,
            requests: self.requests,
            seconds: self.seconds,
        };
        let requests = select(&REQUESTS, |request| request.name, &self.only)?;
        print_table(&wire::report(&plan, &requests)?);
        Ok(())
    }
}
