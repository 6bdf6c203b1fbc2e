//! Every event in every state, and what holds for any history.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

const DEADLINES: Deadlines = Deadlines {
    heartbeat_interval: Some(Duration::from_nanos(30)),
    heartbeat_timeout: Duration::from_nanos(10),
    idle: Some(Duration::from_nanos(100)),
    line: Some(Duration::from_nanos(25)),
    write: Some(Duration::from_nanos(20)),
};

const NOTHING: Observation = Observation {
    line_received: false,
    mid_line: false,
    unsent: 0,
    written_bytes: 0,
    phase: Phase::Reading,
};

/// More than a peer has to take at once.
const MUCH: usize = 10_000;

/// States, each reached from a connection that began at 0 and looked at when it is 10.
fn states() -> [(&'static str, ConnectionTimers, u16); 7] {
    let new = ConnectionTimers::new(Nanos(0));
    let after = |name, observation| {
        let (mut timers, mut unread) = (new.clone(), 0);
        timers.observe(Nanos(5), observation, &mut unread);
        (name, timers, unread)
    };
    let mut pinged = new.clone();
    pinged.ping_sent(Nanos(5));
    [
        ("quiet", new.clone(), 0),
        ("pinged", pinged, 0),
        after("mid-line", Observation { mid_line: true, ..NOTHING }),
        after("unsent", Observation { unsent: MUCH, ..NOTHING }),
        after("a little", Observation { unsent: 100, ..NOTHING }),
        after("serving", Observation { phase: Phase::Serving, ..NOTHING }),
        after("blocked", Observation { unsent: MUCH, phase: Phase::Blocked, ..NOTHING }),
    ]
}

fn events() -> [(&'static str, Observation); 10] {
    [
        ("woken", NOTHING),
        ("line", Observation { line_received: true, ..NOTHING }),
        ("part", Observation { mid_line: true, ..NOTHING }),
        ("line+part", Observation { line_received: true, mid_line: true, ..NOTHING }),
        ("wrote all", Observation { written_bytes: PROGRESS_BYTES, ..NOTHING }),
        ("wrote much", Observation { written_bytes: PROGRESS_BYTES, unsent: MUCH, ..NOTHING }),
        ("wrote 100", Observation { written_bytes: 100, unsent: MUCH, ..NOTHING }),
        ("wrote 99", Observation { written_bytes: 99, unsent: 1, ..NOTHING }),
        ("serve", Observation { line_received: true, phase: Phase::Serving, ..NOTHING }),
        ("block", Observation { unsent: MUCH, phase: Phase::Blocked, ..NOTHING }),
    ]
}

fn due(timers: &ConnectionTimers) -> String {
    match timers.next(&DEADLINES) {
        None => "never".to_owned(),
        Some((Nanos(at), Action::Ping)) => format!("ping at {at}"),
        Some((Nanos(at), Action::Close(expired))) => format!("{expired:?} at {at}"),
    }
}

/// Read a row as: a connection in this state, to which this happens at 10, is due for that. A quiet
/// one is pinged 30 after its last line, ends 10 after a ping, 25 after a line's first byte, 20
/// after the write clock began, which it does anew when the peer took [`PROGRESS_BYTES`] or all there
/// were then.
#[test]
fn transitions_of_every_state_at_every_event() {
    let mut table = String::new();
    for (state, timers, unread) in states() {
        for (event, observation) in events() {
            let (mut timers, mut unread) = (timers.clone(), unread);
            timers.observe(Nanos(10), observation, &mut unread);
            writeln!(table, "{state:9} {event:10} {}", due(&timers)).unwrap();
        }
    }
    assert_eq!(table, TRANSITIONS, "\n{table}");
}

const TRANSITIONS: &str = "\
quiet     woken      ping at 30
quiet     line       ping at 40
quiet     part       ping at 30
quiet     line+part  Line at 35
quiet     wrote all  ping at 30
quiet     wrote much Write at 30
quiet     wrote 100  Write at 30
quiet     wrote 99   Write at 30
quiet     serve      never
quiet     block      Write at 30
pinged    woken      Heartbeat at 15
pinged    line       ping at 40
pinged    part       Heartbeat at 15
pinged    line+part  Line at 35
pinged    wrote all  Heartbeat at 15
pinged    wrote much Heartbeat at 15
pinged    wrote 100  Heartbeat at 15
pinged    wrote 99   Heartbeat at 15
pinged    serve      never
pinged    block      Write at 30
mid-line  woken      ping at 30
mid-line  line       ping at 40
mid-line  part       Line at 30
mid-line  line+part  Line at 35
mid-line  wrote all  ping at 30
mid-line  wrote much Write at 30
mid-line  wrote 100  Write at 30
mid-line  wrote 99   Write at 30
mid-line  serve      never
mid-line  block      Write at 30
unsent    woken      ping at 30
unsent    line       ping at 40
unsent    part       ping at 30
unsent    line+part  Line at 35
unsent    wrote all  ping at 30
unsent    wrote much Write at 30
unsent    wrote 100  Write at 25
unsent    wrote 99   Write at 25
unsent    serve      never
unsent    block      Write at 25
a little  woken      ping at 30
a little  line       ping at 40
a little  part       ping at 30
a little  line+part  Line at 35
a little  wrote all  ping at 30
a little  wrote much Write at 30
a little  wrote 100  Write at 30
a little  wrote 99   Write at 25
a little  serve      never
a little  block      Write at 25
serving   woken      ping at 40
serving   line       ping at 40
serving   part       Line at 35
serving   line+part  Line at 35
serving   wrote all  ping at 40
serving   wrote much Write at 30
serving   wrote 100  Write at 30
serving   wrote 99   Write at 30
serving   serve      never
serving   block      Write at 30
blocked   woken      ping at 40
blocked   line       ping at 40
blocked   part       Line at 35
blocked   line+part  Line at 35
blocked   wrote all  ping at 40
blocked   wrote much Write at 30
blocked   wrote 100  Write at 25
blocked   wrote 99   Write at 25
blocked   serve      never
blocked   block      Write at 25
";

#[test]
fn each_deadline_may_be_off() {
    let off = Deadlines { heartbeat_timeout: Duration::from_nanos(10), ..Deadlines::default() };
    for (_, timers, _) in states() {
        if timers.next(&DEADLINES) != Some((Nanos(15), Action::Close(Expired::Heartbeat))) {
            assert_eq!(timers.next(&off), None);
        }
    }
    for (deadlines, expected) in [
        (Deadlines { idle: DEADLINES.idle, ..off }, (100, Action::Close(Expired::Idle))),
        (Deadlines { heartbeat_interval: DEADLINES.heartbeat_interval, ..off }, (30, Action::Ping)),
    ] {
        let new = ConnectionTimers::new(Nanos(0));
        assert_eq!(new.next(&deadlines), Some((Nanos(expected.0), expected.1)));
    }
}

#[test]
fn peers_that_fall_silent_together_are_pinged_within_a_tenth_of_the_interval_and_not_together() {
    let interval = Duration::from_secs(30);
    let deadlines = Deadlines { heartbeat_interval: Some(interval), ..Deadlines::default() };
    let waits: std::collections::BTreeSet<u64> = (0..1000_u64)
        .map(|begun| {
            let (at, due) = ConnectionTimers::new(Nanos(begun)).next(&deadlines).unwrap();
            assert_eq!(due, Action::Ping);
            at.0 - begun
        })
        .collect();
    let interval = interval.as_nanos() as u64;
    assert!(waits.iter().all(|wait| (interval..=interval / 10 * 11).contains(wait)));
    let gaps = waits.iter().zip(waits.iter().skip(1)).map(|(a, b)| b - a);
    assert_eq!(waits.len(), 1000);
    assert!(gaps.max().unwrap() < interval / 10 / 100, "spread evenly over the tenth");
}

#[test]
fn deadlines_beyond_the_clock_never_pass() {
    let endless = Some(Duration::MAX);
    let deadlines = Deadlines {
        heartbeat_interval: endless,
        heartbeat_timeout: Duration::MAX,
        idle: endless,
        line: endless,
        write: endless,
    };
    for (_, timers, _) in states() {
        if let Some((Nanos(at), _)) = timers.next(&deadlines) {
            assert!(at > u64::MAX / 2, "{at}");
        }
    }
}

fn observation() -> impl Strategy<Value = Observation> {
    let phase = prop_oneof![
        4 => Just(Phase::Reading),
        1 => Just(Phase::Serving),
        1 => Just(Phase::Blocked),
        1 => Just(Phase::Closing),
    ];
    let unsent = prop::sample::select(vec![0, 1, 100, MUCH]);
    let written_bytes = prop::sample::select(vec![0, 1, 100, PROGRESS_BYTES]);
    (any::<[bool; 2]>(), unsent, written_bytes, phase).prop_map(
        |([line_received, mid_line], unsent, written_bytes, phase)| Observation {
            line_received,
            mid_line,
            unsent,
            written_bytes,
            phase,
        },
    )
}

proptest! {
    #[test]
    fn whatever_happens_the_deadlines_are_kept(
        history in prop::collection::vec((0_u64..40, observation()), 1..60),
    ) {
        let (mut timers, mut unread) = (ConnectionTimers::new(Nanos(0)), 0);
        let (mut now, mut pinged) = (0, false);
        for (pause, observation) in history {
            // The timer fires when it should, before anything else happens.
            let wake = now + pause;
            while let Some((Nanos(at), what)) = timers.next(&DEADLINES) {
                prop_assert!(at > now || pause == 0, "due at {at}, before {now}");
                if at > wake {
                    break;
                }
                match what {
                    Action::Ping => {
                        prop_assert!(!pinged, "one ping at a time");
                        timers.ping_sent(Nanos(at));
                        pinged = true;
                    }
                    Action::Close(expired) => {
                        prop_assert!(expired != Expired::Heartbeat || pinged, "expired without a ping");
                        return Ok(());
                    }
                }
            }
            now = wake;
            timers.observe(Nanos(now), observation, &mut unread);
            pinged &= !observation.line_received && observation.phase == Phase::Reading;
            // The earliest of the timers each deadline gives alone.
            let alone = [
                Deadlines { heartbeat_interval: DEADLINES.heartbeat_interval, ..Deadlines::default() },
                Deadlines { idle: DEADLINES.idle, ..Deadlines::default() },
                Deadlines { line: DEADLINES.line, ..Deadlines::default() },
                Deadlines { write: DEADLINES.write, ..Deadlines::default() },
            ]
            .map(|deadlines| Deadlines { heartbeat_timeout: DEADLINES.heartbeat_timeout, ..deadlines })
            .iter()
            .filter_map(|deadlines| timers.next(deadlines))
            .map(|(at, _)| at)
            .min();
            prop_assert_eq!(timers.next(&DEADLINES).map(|(at, _)| at), alone);
        }
    }

    /// However the bytes are spread, a connection that lives on has taken its share in each window.
    #[test]
    fn fault_07_a_peer_that_is_kept_has_taken_what_it_must_in_every_window(
        history in prop::collection::vec((1_u64..9, 0_u16..3000), 1..80),
    ) {
        let (mut timers, mut unread) = (ConnectionTimers::new(Nanos(0)), 0);
        let stuck = Observation { unsent: MUCH, phase: Phase::Blocked, ..NOTHING };
        timers.observe(Nanos(0), stuck, &mut unread);
        let (mut now, mut taken) = (0, vec![(0, 0)]);
        for (pause, written_bytes) in history {
            now += pause;
            if timers.next(&DEADLINES).is_some_and(|(Nanos(at), _)| at <= now) {
                break;
            }
            timers.observe(Nanos(now), Observation { written_bytes, ..stuck }, &mut unread);
            taken.push((now, u64::from(written_bytes)));
        }
        let lived = taken.last().map_or(0, |(at, _)| *at);
        let total: u64 = taken.iter().map(|(_, written_bytes)| written_bytes).sum();
        let windows = lived / 20;
        prop_assert!(total >= windows * u64::from(PROGRESS_BYTES), "{} in {}", total, lived);
    }
}
