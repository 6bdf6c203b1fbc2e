//! Prints the reference configuration file:
//! `cargo run -p towline-config --example reference > config/towline.toml`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(towline_config::reference().as_bytes())
}
