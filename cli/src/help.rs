//! Help texts that are not about one flag.

pub(crate) const ABOUT: &str = "\
Serves raw TCP lines through a stack of Tower layers, and shows what it does.

Without a command it serves: lines on 127.0.0.1:9000, metrics and health on 127.0.0.1:9464.
The flags of `towline serve` may then be given without the word; `towline help serve` lists them.";

/// A macro, so that the longer text can be put together at compile time.
macro_rules! examples {
    () => {
        "\
Examples:
  towline
      Echo lines on 127.0.0.1:9000; try: printf 'a\\nbb\\n' | nc -q1 127.0.0.1 9000
  towline serve --workload sha256 --listen 0.0.0.0:9000
      Answer each line with its SHA-256, to everyone
  towline serve --profile buffered-10k --heartbeat 30s
      The article's second column, with a calmer heartbeat
  towline doctor --connections 100k
      Whether this host holds so many, what ends it first, and the fix
  towline config --config towline.toml
      What a server would run with, and which layer said so
  towline health --ready
      Exit code 0 when the server accepts connections, else 1"
    };
}

pub(crate) const EXAMPLES: &str = examples!();

pub(crate) const EXAMPLES_AND_MORE: &str = concat!(
    examples!(),
    "

Exit codes:
  0  ended as asked
  1  failed, or a drain had to cut connections
  2  a flag, a setting or a limit of the host is at fault; nothing was started

Signals:
  SIGTERM, SIGINT, SIGQUIT  finish what was read, then end; a second one ends at once

Each setting can also stand in a file or the environment: see `towline help config`."
);

pub(crate) const SERVE: &str = "\
Prints one line on standard output once it serves, `listening on ADDR (admin ADDR)`, with the real
ports; the log goes to standard error. SIGTERM, SIGINT or SIGQUIT ends it in order, a second
one at once.";

pub(crate) const DOCTOR: &str = "\
Examples:
  towline doctor
      For limits.connections, or 10,000 where it is auto
  towline doctor --connections 1m --processes auto --side both
      A million, server and load generator on this host
  towline doctor --connections 50k --burst 20k --emit sysctl > /etc/sysctl.d/60-towline.conf
      Only what has to be changed, as a file

The prediction is for quiet connections: established, supervised, a line now and then. The rows leave
room for --active percent of them being busy.

Exit codes: 0 nothing fails for the target (there may be warnings); 1 something does; 2 a flag or a
setting is wrong.";

pub(crate) const PRECEDENCE: &str = "\
Where a value comes from, each overriding those before it:
  1. built-in       the default that each flag's help names
  2. --profile      a built-in profile
  3. --config FILE  TOML: the key's section and name, as in [limits] line_bytes = \"64KiB\"
  4. environment    TOWLINE_ and the key with __ for the dot: TOWLINE_LIMITS__LINE_BYTES=64KiB
  5. flags          --max-line 64KiB

The output is a configuration file with the origin of each value in a comment, so
`towline config … > towline.toml` keeps what is in effect now. An unknown key or variable is an
error, wherever it stands.";
