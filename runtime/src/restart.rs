//! When a component is rebuilt, and when it is given up. Pure: time and chance come in.

use std::{collections::VecDeque, fmt, time::Duration};

use tokio::time::Instant;

/// When a component is rebuilt, how often, and what happens when that doesn't help.
///
/// ```
/// use std::time::Duration;
///
/// use botzilla::{Restart, prelude::*};
///
/// # #[derive(Default)] struct Lidar;
/// # #[botzilla::component] impl Lidar {}
/// # async fn run(node: Node) -> botzilla::Result<()> {
/// let restart = Restart::always()
///     .at_most(5, Duration::from_secs(60))
///     .back_off(Duration::from_millis(200), Duration::from_secs(10));
/// node.spawn("lidar", Lidar::default).restart(restart).await?;
/// # Ok(()) }
/// ```
///
/// What is rebuilt keeps its name, its address, its place at the registry and the messages in its queue; it
/// loses its state, with the timers and tasks of [`Ctx`](crate::Ctx). The factory makes a new state,
/// [`on_restart`](crate::on_restart) tells it why, and [`on_start`](crate::on_start) runs as at first.
///
/// | the component | [`never`](Restart::never) | [`on_panic`](Restart::on_panic) | [`always`](Restart::always) |
/// | --- | --- | --- | --- |
/// | panics in a handler, a timer's turn, or the drop of either | is given up | is rebuilt | is rebuilt |
/// | fails while it is rebuilt: factory, `on_restart` or `on_start` | | is rebuilt again, after a longer pause | likewise |
/// | stops itself by [`Ctx::stop`](crate::Ctx::stop) | ends | ends | is rebuilt |
/// | doesn't start at first | `spawn` fails | `spawn` fails | `spawn` fails |
/// | ends since its node shuts down, or its name was lost | ends | ends | ends |
///
/// Each restart counts, whatever it was for. One that is **given up** is deregistered, what is in its queue ends
/// as [`Reason::Stopped`](crate::Reason::Stopped), and who [watches](crate::Node::watch) it hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until a component is spawned with it"]
pub struct Restart {
    when: When,
    at_most: u32,
    within: Duration,
    back_off: (Duration, Duration),
    escalates: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Never,
    OnPanic,
    Always,
}

/// A pause of nothing would let a component that panics at once hold its thread.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// One that nobody sees the end of, and that clocks can tell.
const LONGEST_PAUSE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Doublings beyond this are longer than any pause.
const DOUBLINGS: u32 = 32;

impl Restart {
    const fn new(when: When) -> Self {
        Self {
            when,
            at_most: 10,
            within: Duration::from_secs(60),
            back_off: (Duration::from_millis(100), Duration::from_secs(5)),
            escalates: false,
        }
    }

    /// Never rebuilt: the first panic is the end of the component.
    pub const fn never() -> Self {
        Self::new(When::Never)
    }

    /// Rebuilt after a panic, and not when it stops itself. The default.
    pub const fn on_panic() -> Self {
        Self::new(When::OnPanic)
    }

    /// Rebuilt whenever it ends, by a panic or by itself: for what must be there as long as its node is.
    pub const fn always() -> Self {
        Self::new(When::Always)
    }

    /// So many restarts at most within such a time; at the next one it is given up. 10 within 60 s unless
    /// said otherwise.
    pub const fn at_most(mut self, restarts: u32, within: Duration) -> Self {
        self.at_most = restarts;
        self.within = within;
        self
    }

    /// The pause before the first restart, and the longest one: it doubles from the first to the longest with
    /// each restart that is not yet forgotten (see [`at_most`](Self::at_most)), and each is shortened by up to a
    /// half, by chance, so that what fell together doesn't rise together. 100 ms and 5 s unless said
    /// otherwise; 1 ms at least.
    pub const fn back_off(mut self, first: Duration, longest: Duration) -> Self {
        self.back_off = (first, longest);
        self
    }

    /// When it is given up, its node shuts down, within 5 s, and
    /// [`Node::until_shutdown`](crate::Node::until_shutdown) returns an
    /// [`Error::Escalated`](crate::Error::Escalated) that names the component: for what the robot can't do
    /// without, in a program that something else starts again.
    pub const fn escalate(mut self) -> Self {
        self.escalates = true;
        self
    }

    pub(crate) fn escalates(&self) -> bool {
        self.escalates
    }

    /// Whether it is rebuilt when it stops itself.
    pub(crate) fn is_always(&self) -> bool {
        self.when == When::Always
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self::on_panic()
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::Never => return f.write_str("never"),
            When::OnPanic => "on panic",
            When::Always => "always",
        };
        write!(f, "{when}, at most {} in {:?}", self.at_most, self.within)
    }
}

/// Why a component is rebuilt; what [`on_restart`](crate::on_restart) is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartReason {
    /// A handler, or a timer's turn, panicked; the panic's text.
    Panicked(String),
    /// The restart before this one failed: the factory, `on_restart` or `on_start` panicked or returned an
    /// error. What it said.
    StartFailed(String),
    /// It stopped itself, and is to run always.
    Stopped,
    /// It didn't fail: one that it [restarts with](crate::OneForAll) did.
    Together {
        /// The name of that one.
        component: String,
        /// What befell it.
        reason: Box<Self>,
    },
}

impl fmt::Display for RestartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(text) => write!(f, "it panicked: {text}"),
            Self::StartFailed(text) => write!(f, "it didn't start: {text}"),
            Self::Stopped => f.write_str("it stopped itself"),
            Self::Together { component, reason } => {
                write!(f, "it restarts together with {component:?}: {reason}")
            }
        }
    }
}

/// The restarts that aren't forgotten yet.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    recent: VecDeque<Instant>,
}

impl Restarts {
    /// How long to wait before the next restart, or why there is none. `chance` is anything from 0 to 1.
    pub(crate) fn next(
        &mut self,
        policy: &Restart,
        reason: &RestartReason,
        now: Instant,
        chance: f64,
    ) -> Result<Duration, String> {
        if policy.when == When::Never {
            return Err(format!("{reason}; it is never restarted"));
        }
        let is_past = |at: &Instant| now.saturating_duration_since(*at) > policy.within;
        while self.recent.front().is_some_and(is_past) {
            self.recent.pop_front();
        }
        let recent = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        if recent >= policy.at_most {
            return Err(format!("it was restarted too often; last: {reason}"));
        }
        self.recent.push_back(now);
        let (first, longest) = policy.back_off;
        let first = first.max(SHORTEST_PAUSE);
        let pause = first.saturating_mul(2_u32.saturating_pow(recent.min(DOUBLINGS)));
        let pause = pause.min(longest.max(first)).min(LONGEST_PAUSE);
        Ok(pause
            .mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
            .max(SHORTEST_PAUSE))
    }
}

/// A chance for [`Restarts::next`].
pub(crate) fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> RestartReason {
        RestartReason::Panicked("broken".to_owned())
    }

    fn next(restarts: &mut Restarts, policy: Restart, at: Instant) -> Option<Duration> {
        restarts.next(&policy, &broken(), at, 0.0).ok()
    }

    #[test]
    fn back_off_doubles_to_its_maximum_and_the_eleventh_restart_in_a_minute_is_refused() {
        let start = Instant::now();
        let mut restarts = Restarts::default();
        let at = |n| start + Duration::from_secs(n);
        let waits: Vec<_> = (0..10)
            .map(|n| next(&mut restarts, Restart::default(), at(n)))
            .collect();
        assert_eq!(waits[0], Some(Duration::from_millis(100)));
        assert_eq!(waits[3], Some(Duration::from_millis(800)));
        assert_eq!(waits[9], Some(Duration::from_secs(5)));
        assert_eq!(next(&mut restarts, Restart::default(), at(10)), None);
    }

    #[test]
    fn a_component_that_holds_for_the_whole_window_starts_anew() {
        let start = Instant::now();
        let policy = Restart::always()
            .at_most(3, Duration::from_secs(9))
            .back_off(Duration::from_millis(20), Duration::from_millis(70));
        let mut restarts = Restarts::default();
        let waits: Vec<_> = (0..4).map(|_| next(&mut restarts, policy, start)).collect();
        let expected = [Some(20), Some(40), Some(70), None].map(|ms| ms.map(Duration::from_millis));
        assert_eq!(waits, expected);
        let later = start + Duration::from_secs(10);
        assert_eq!(next(&mut restarts, policy, later), expected[0]);
    }

    #[test]
    fn chance_shortens_a_pause_by_half_at_most() {
        let now = Instant::now();
        let pause = |chance| {
            let mut restarts = Restarts::default();
            restarts
                .next(&Restart::default(), &broken(), now, chance)
                .unwrap()
        };
        assert_eq!(pause(0.5), Duration::from_millis(75));
        assert_eq!(pause(1.0), Duration::from_millis(50));
        // Whatever a generator may say.
        assert_eq!(pause(f64::INFINITY), Duration::from_millis(50));
        assert!((0.0..=1.0).contains(&chance()));
    }

    #[test]
    fn policies_at_their_ends_neither_spin_nor_overflow() {
        let now = Instant::now();
        let mut restarts = Restarts::default();
        let eager = Restart::always()
            .at_most(u32::MAX, Duration::MAX)
            .back_off(Duration::ZERO, Duration::ZERO);
        for _ in 0..100 {
            assert_eq!(next(&mut restarts, eager, now), Some(SHORTEST_PAUSE));
        }
        let slow = eager.back_off(Duration::MAX, Duration::ZERO);
        assert!(next(&mut restarts, slow, now).is_some());
        for none in [
            Restart::never(),
            Restart::always().at_most(0, Duration::MAX),
        ] {
            assert_eq!(next(&mut Restarts::default(), none, now), None);
        }
    }

    #[test]
    fn who_gives_up_says_what_it_was_last() {
        let mut restarts = Restarts::default();
        let why = |restarts: &mut Restarts, policy: Restart| {
            restarts
                .next(&policy, &broken(), Instant::now(), 0.0)
                .unwrap_err()
        };
        let never = why(&mut restarts, Restart::never());
        assert!(
            never.contains("broken") && never.contains("never"),
            "{never}"
        );
        let often = why(&mut restarts, Restart::always().at_most(0, Duration::ZERO));
        assert!(
            often.contains("broken") && often.contains("too often"),
            "{often}"
        );
    }
}
