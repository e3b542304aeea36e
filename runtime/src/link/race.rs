//! One attempt after the other, each with a head start over the next: the first that succeeds ends all.
//!
//! The idea is that of "happy eyeballs" (RFC 8305): an address that is dead costs the head start, not
//! the time after which nobody would wait for its answer any longer.

use std::{future::Future, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep;

/// Begins an attempt for each item, the next one when those before have failed or had their head
/// start. `failed` is told each failure, and says whether to go on. None: nothing succeeded, or it
/// said no.
pub(super) async fn race<I, T, E, F>(
    items: impl IntoIterator<Item = I>,
    head_start: Duration,
    attempt: impl Fn(I) -> F,
    mut failed: impl FnMut(E) -> bool,
) -> Option<T>
where
    F: Future<Output = Result<T, E>>,
{
    let mut items = items.into_iter().peekable();
    let mut running = FuturesUnordered::new();
    loop {
        running.extend(items.next().map(&attempt));
        tokio::select! {
            done = running.next() => match done {
                Some(Ok(winner)) => return Some(winner),
                Some(Err(error)) => {
                    if !failed(error) {
                        return None;
                    }
                }
                None => return None,
            },
            () = sleep(head_start), if items.peek().is_some() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending};

    use tokio::time::Instant;

    use super::*;

    const HEAD_START: Duration = Duration::from_millis(250);

    #[derive(Clone, Copy, Debug)]
    enum What {
        Silent,
        Fails,
        Works,
    }

    async fn attempt(what: What) -> Result<&'static str, &'static str> {
        match what {
            What::Silent => pending().await,
            What::Fails => Err("refused"),
            What::Works => Ok("connected"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_silent_one_costs_the_next_a_head_start_and_each_failed_one_nothing() {
        let began = Instant::now();
        let all = [What::Silent, What::Fails, What::Silent, What::Works];
        let failed = RefCell::new(0);
        let winner = race(all, HEAD_START, attempt, |_| {
            *failed.borrow_mut() += 1;
            true
        });
        assert_eq!(winner.await, Some("connected"));
        assert_eq!((*failed.borrow(), began.elapsed()), (1, 2 * HEAD_START));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_wins_when_all_have_failed_or_there_is_nothing() {
        let began = Instant::now();
        for all in [&[][..], &[What::Fails, What::Fails]] {
            let none = race(all.iter().copied(), HEAD_START, attempt, |_| true).await;
            assert_eq!(none, None);
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_ends_it_ends_it_at_once() {
        let all = [What::Fails, What::Works];
        assert_eq!(race(all, HEAD_START, attempt, |_| false).await, None);
    }
}
