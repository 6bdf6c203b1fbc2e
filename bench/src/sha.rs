//! The cost of hashing alone: the least that the SHA-256 workload can cost.

use std::{hint::black_box, time::Duration};

use sha2::{Digest, Sha256};

use crate::{child, clock, implementation::Measurement};

/// Hashes one line on the servers' core until this thread has used `run` of CPU time.
pub(crate) fn hash_alone(line: &[u8], run: Duration) -> Measurement {
    const BATCH: u64 = 10_000;
    child::on_core(child::SERVER_CORE, || {
        let (begun, mut lines) = (clock::thread_cpu(), 0);
        loop {
            for _ in 0..BATCH {
                black_box(Sha256::digest(black_box(line)));
            }
            lines += BATCH;
            let used = clock::thread_cpu().saturating_sub(begun);
            if used >= run {
                return Measurement {
                    lines,
                    cpu_seconds: used.as_secs_f64(),
                    ..Measurement::default()
                };
            }
        }
    })
}
