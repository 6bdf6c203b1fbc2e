//! Help texts that are not about one flag. No line is longer than 80 columns, so that none is wrapped.

pub(crate) const ABOUT: &str = "\
A TCP server for line protocols: each line goes through a stack of Tower layers.

Without a command it serves: lines on 127.0.0.1:9000, metrics and a live page on
http://127.0.0.1:9464. The flags of `towline serve` work without the word.";

pub(crate) const EXAMPLES: &str = "\
Examples:
  printf 'a\\nbb\\n' | nc -q1 127.0.0.1 9000
  towline serve --workload sha256 --max-connections 10k
  towline load 127.0.0.1:9000 --connections 1000 --duration 10s
  towline ctl kill --match 'state=write_wait,wait>10s'

Exit codes:
  0  success
  1  failure, or connections that were cut at the end of a drain
  2  wrong flag or setting, or more than the host allows; nothing was started

Signals:
  SIGTERM, SIGINT, SIGQUIT  drain and stop; a second one stops at once
  SIGHUP                    load the configuration again

`towline help serve` lists the settings, `towline help config` their sources.";

pub(crate) const SERVE: &str = "\
Prints `listening on ADDR (admin ADDR)`, with the real ports, on standard output
once it accepts connections. The log goes to standard error.

SIGTERM, SIGINT or SIGQUIT drains and stops; a second one stops at once. SIGHUP
loads the file and the environment again: settings marked SIGHUP change at once,
for open connections too, the others on restart.";

pub(crate) const DOCTOR: &str = "\
Examples:
  towline doctor
      For limits.connections, or for 10,000 where it is auto
  towline doctor --connections 1m --processes auto --side both
      A million connections, with server and load generator on this host
  towline doctor --connections 50k --burst 20k --emit sysctl \\
          > /etc/sysctl.d/60-towline.conf
      Only what has to be changed, as a file

The prediction is for quiet connections: established, with a heartbeat and a
line now and then. The rows leave room for --active percent of busy ones.

Exit codes:
  0  nothing fails for the target (there may be warnings)
  1  something fails
  2  a wrong flag or setting";

pub(crate) const CTL: &str = "\
The server needs admin.socket, or admin.token_file for its admin port.

Examples:
  towline ctl stats
  towline ctl kill 0-17 1-4711
  towline ctl kill --match 'state=write_wait,wait>10s'
      Asks back when more than one matches; --yes does not
  towline ctl drain --share 10% --over 60s
      Closes the oldest tenth, for clients to connect to other replicas
  towline ctl set limits.connections=5000 timeouts.idle=5m
  towline ctl set limits.connections=
      Withdraws it: what the configuration says is in force again
  towline ctl log debug
  towline ctl profile --seconds 10 -o flames.svg
      What the server's threads and the kernel spend its CPU time on
  kubectl exec POD -- /towline ctl drain

Exit codes:
  0  the server did it
  1  no server answered, it refused, or a connection is not there
  2  a wrong command line, or no terminal for a question";

pub(crate) const PRECEDENCE: &str = "\
Each source of a value overrides those before it:
  1. built-in       the default that the help of each flag names
  2. --profile      a built-in profile
  3. --config FILE  TOML with sections: [limits] line_bytes = \"64KiB\"
  4. environment    TOWLINE_ and the key, with __ for the dot:
                    TOWLINE_LIMITS__LINE_BYTES=64KiB
  5. flags          --max-line 64KiB

The output is what a server would run with: a configuration file, with the
source of each value in a comment, and beside `auto` what it comes to on this
host. `towline config … > towline.toml` keeps it. What a running server has in
force is at /config of its admin port.

An unknown key is an error, and so is an unknown variable with __ in its name.
Other TOWLINE_ variables are ignored with a warning.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wrapped_at_80_columns() {
        for line in
            [ABOUT, EXAMPLES, SERVE, DOCTOR, CTL, PRECEDENCE].iter().flat_map(|it| it.lines())
        {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
