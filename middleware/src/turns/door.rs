//! The way out, for those whose time is up together.

use std::{cell::RefCell, future::poll_fn, task::Context, time::Duration};

use tokio::time::sleep;

use super::{
    line::{OnDuty, Place, stand_in},
    yield_turn,
};

thread_local! {
    static DOOR: Place = const { RefCell::new(None) };
}

/// Time between two looks at who waits to leave.
const PAUSE: Duration = Duration::from_millis(1);

/// Of so many one is let out at a time: of 10,000 half have left in 0.14 s, and the last in a second.
const ONE_OF: usize = 192;

/// Lets those out, a few in a millisecond, whose time is up; for as long as it is polled.
///
/// A deadline passes for many at once: a thousand peers that stopped reading together, or that
/// were behind a cable that is pulled. To close a connection with all that it holds takes the kernel as
/// long as serving it a hundred lines, and a peer that is cut comes back at once and costs as much
/// again. At once that is a quarter of a second in which everybody else waits; spread out it is not
/// felt.
///
/// For a current-thread runtime with a clock: spawn it once there. Where none runs, whoever leaves does
/// when the others have had a turn.
pub async fn porter() {
    let on_duty = OnDuty::begin(&DOOR);
    loop {
        poll_fn(|cx| on_duty.poll_waiting(cx)).await;
        on_duty.let_on(|waiting| waiting.div_ceil(ONE_OF));
        sleep(PAUSE).await;
    }
}

/// Has `cx` woken when it may leave.
pub(crate) fn wait_to_leave(cx: &mut Context<'_>) {
    if !stand_in(&DOOR, cx) {
        yield_turn(cx);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{task::JoinSet, time::Instant};

    use super::{super::tests::wait, *};

    async fn leave() -> Duration {
        let came = Instant::now();
        wait(wait_to_leave).await;
        came.elapsed()
    }

    async fn leave_together(peers: usize) -> Vec<Duration> {
        let leaving: JoinSet<Duration> = (0..peers).map(|_| leave()).collect();
        leaving.join_all().await
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_time_is_up_leaves_at_once() {
        tokio::spawn(porter());
        tokio::task::yield_now().await;
        assert!(leave().await.is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn many_leave_over_a_while_and_all_within_a_second() {
        tokio::spawn(porter());
        tokio::task::yield_now().await;
        let mut waited = leave_together(10_000).await;
        waited.sort();
        let at_once = waited.iter().filter(|waited| waited.is_zero()).count();
        assert_eq!(at_once, 10_000_usize.div_ceil(ONE_OF));
        assert!(waited[5000] < Duration::from_millis(150), "{:?}", waited[5000]);
        assert!(waited[9999] > Duration::from_millis(500), "{:?}", waited[9999]);
        assert!(waited[9999] < Duration::from_secs(1), "{:?}", waited[9999]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_porter_and_when_he_goes_home_everybody_leaves() {
        assert!(leave_together(300).await.iter().all(Duration::is_zero));
        let porter = tokio::spawn(porter());
        tokio::task::yield_now().await;
        let (waited, ()) = tokio::join!(leave_together(300), async {
            sleep(Duration::from_millis(5)).await;
            porter.abort();
        });
        let last = waited.into_iter().max().unwrap_or_default();
        assert!(last < Duration::from_millis(10), "{last:?}");
    }
}
