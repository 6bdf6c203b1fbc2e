//! What `towline help load` says after the flags. No line is longer than 80 columns.

pub(super) const LOAD: &str = "\
Examples:
  towline load 127.0.0.1:9000 -c 1000 -T 30s --mode ping-pong --verify
      A line at a time on each of 1000 connections, every reply compared
  towline load 127.0.0.1:9000 -c 100 --rate 20k --assert 'p99<10ms'
      20,000 lines per second on a fixed schedule; exit code 3 if p99 is above
  towline load 127.0.0.1:9000 --mix polite=900,slowloris=100 --mode ping-pong
      Well-behaved clients beside bad ones
  towline load lines.example:9443 --tls --tls-ca ca.crt -c 1000 --mode ping-pong
      The same over TLS, with the time of handshakes
  towline load 127.0.0.1:6379 --mode fanout --protocol resp -c 10k --rate 100
      100 messages per second to each of 10,000 subscribers, every one checked

Bad clients (--persona: all connections; --mix: some of them):
  polite      not a bad client: follows the mode and is measured
  slowloris   sends a byte every interval and never finishes the line
  trickle     sends whole lines, one byte every interval
  never-read  floods and never reads a reply
  half-open   sends one line, then neither reads, writes nor answers heartbeats
  reset       sends one line, resets the connection (RST) after an interval
  churn       connects, exchanges one line, closes, and again at once
  burst       sends 1000 lines at once every interval
The interval is --persona-interval. A bad client whose connection ends connects
again. Bad clients are counted apart: latency, rates and verification are those
of the others.

Fan-out (--mode fanout):
  --connections subscribe, and --publishers further ones publish. A message has
  a number and the time at which it was due; the delay at each subscriber counts
  from there. A message that is missing, comes twice, out of order, changed or
  from elsewhere fails the verification, which is always on.
  With --protocol lines every connection sends --login, a subscriber then
  --subscribe, and each of these lines must be answered by one that begins with
  --confirm. A message is found by its content, wherever it stands in a line.
  Other lines are not looked at, but for `ping`, which is answered, and `ERR`.
  With --window instead of --rate a publisher is at most so many messages ahead
  of the subscriber of its thread that subscribed last.

TLS (--tls):
  Every connection makes a handshake before it counts as established. Handshakes
  have a distribution of their own, beside that of connects, and it includes
  the work of the generator. --tls-resume is off as in most tools, so every
  connection costs the server a full handshake; with on, a connection uses a
  ticket that an earlier one of the same process was given, and the report
  counts full and resumed handshakes.
  Bad clients misbehave over TLS, behind the handshake. A reset sends no
  close_notify; all other connections end with one. With --proxy the header
  goes before the handshake, in the clear.

Numbers:
  counts     1000, 10k, 1.5m
  rates      2000, 2000/s, 5k, 0.5 (per second)
  durations  60s, 250ms, 1.5m, 2h; units us ms s m h d, seconds without one
The flags -T -m -c -r -w and --connect-rate are those of tcpkali. Its -e is
accepted and changes nothing: escapes in the message are always understood.

Verification (--verify):
  Replies are compared byte for byte and in order. If the message has no {seq}
  and no {rand:N}, all its lines are alike: then a lost line and a repeated one
  on the same connection cancel out. Heartbeats of the server (`ping`) are
  answered and not counted. If the message itself is `ping\\n`, a surplus line
  counts as a heartbeat only after half a second in which the connection sent
  nothing.
  A line that begins with `ERR ` takes the place of a reply and fails the
  verification; such lines and their latency are shown apart. A refusal (`ERR
  too many connections`) is no reply: the connection counts as ended by the
  server.
  A line that has no reply when the drain ends is missing. Only unanswered are:
  lines whose connection the server ended during the run, and lines in flight at
  the end with --drain 0, unless no reply came at all. A server that is slower
  than a flood needs a longer --drain or a smaller --in-flight.

Figures for --assert, with < <= > >= == != and a number or duration:
  latency      min p50 p90 p99 p999 max mean; with service. response. connect.
               handshake. or after_ramp. in front, of another distribution
  rates        lines_per_second mbps_up mbps_down per_connection_kbps; with
               after_ramp. in front, without the ramp
  connections  requested established failed closed_early
  lines        sent received checked mismatched corrupted duplicated reordered
               missing unanswered error_lines; of a fan-out (in messages) also
               foreign, and stuck_ended
  errors       connect reset timeout closed unsent; errors is their sum
  TLS          handshakes_full handshakes_resumed handshakes_failed tls_errors
  fairness     jain spread.min spread.p1 spread.p50 spread.p99 spread.max
  run          seconds ramp_seconds cpu_seconds saturated (0 or 1)
A figure that was not measured meets no assertion: a latency without samples
(shown as -), a rate or spread without a connection, jain if no line came back,
mismatched and missing without --verify. No latency includes `ERR ` lines.

Exit codes:
  0  the run went as requested
  1  connections failed or were ended by the server, or the run could not start
  2  a flag is wrong; nothing was sent
  3  an --assert was missed, or is about a figure that was not measured
  4  replies were wrong, error lines or missing (--verify)
If several of 1, 3 and 4 apply, the exit code is the highest.";

#[cfg(test)]
mod tests {
    use towline_load::ClientBehavior;

    use super::*;

    #[test]
    fn no_line_is_wrapped_at_80_columns() {
        for line in LOAD.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn every_behavior_has_a_line() {
        for behavior in ClientBehavior::ALL {
            assert!(LOAD.contains(&format!("\n  {} ", behavior.name())), "{behavior:?}");
        }
    }
}
