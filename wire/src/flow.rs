//! Credit, as totals since the connection began: pure arithmetic, nothing of it can leak.
//!
//! The receiver states how much may be sent in all; it states more as what was sent ends. Totals
//! are idempotent: a statement that is repeated, or merged with a later one, changes nothing.

/// The sender's end of an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spending {
    /// What the receiver takes at a time; its first statement.
    bound: u64,
    /// What it has stated.
    granted: u64,
    /// What was sent, or is about to be.
    used: u64,
    /// What of it has ended.
    ended: u64,
}

/// Why a statement of credit is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadCredit {
    Shrinks,
    BeyondBound,
}

impl Spending {
    pub(crate) fn new(bound: u64) -> Self {
        Self {
            bound,
            granted: bound,
            used: 0,
            ended: 0,
        }
    }

    /// What the receiver takes at a time.
    pub(crate) fn bound(&self) -> u64 {
        self.bound
    }

    /// What may be sent now.
    pub(crate) fn available(&self) -> u64 {
        self.granted - self.used
    }

    /// What was sent and hasn't ended.
    pub(crate) fn open(&self) -> u64 {
        self.used - self.ended
    }

    /// Takes what is available; the caller has looked.
    pub(crate) fn take(&mut self, amount: u64) {
        debug_assert!(
            amount <= self.available(),
            "the caller looks before it takes"
        );
        self.used += amount;
    }

    /// Gives back what was taken and never sent.
    pub(crate) fn give_back(&mut self, amount: u64) {
        self.used -= amount;
    }

    /// What was sent has ended. Only the receiver's statement makes it available again.
    pub(crate) fn end(&mut self, amount: u64) {
        self.ended += amount;
    }

    /// The receiver states a total.
    pub(crate) fn state(&mut self, total: u64) -> Result<(), BadCredit> {
        if total < self.granted {
            return Err(BadCredit::Shrinks);
        }
        // It can't take more at a time than it said, so neither can its credit.
        if total - self.ended > self.bound {
            return Err(BadCredit::BeyondBound);
        }
        self.granted = total;
        Ok(())
    }
}

/// The sender's end of an account whose receiver may state as much as it likes, and that the last
/// thing sent may overshoot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    granted: u64,
    used: u64,
}

impl Allowance {
    /// What is used is added up; below this it can't wrap around.
    const MAX: u64 = 1 << 63;

    pub(crate) fn new(granted: u64) -> Result<Self, BadCredit> {
        let mut allowance = Self {
            granted: 0,
            used: 0,
        };
        allowance.state(granted)?;
        Ok(allowance)
    }

    /// Whether something may be sent, however large it is.
    pub(crate) fn is_left(&self) -> bool {
        self.used < self.granted
    }

    /// It is sent.
    pub(crate) fn take(&mut self, amount: u64) {
        debug_assert!(self.is_left(), "the caller looks before it takes");
        self.used += amount;
    }

    /// The receiver states a total.
    pub(crate) fn state(&mut self, total: u64) -> Result<(), BadCredit> {
        if total < self.granted {
            return Err(BadCredit::Shrinks);
        }
        if total >= Self::MAX {
            return Err(BadCredit::BeyondBound);
        }
        self.granted = total;
        Ok(())
    }
}

/// The receiver's end of an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granting {
    bound: u64,
    /// What was stated, so what the sender may use.
    stated: u64,
    /// What came.
    used: u64,
    /// What of it has ended.
    ended: u64,
}

impl Granting {
    pub(crate) fn new(bound: u64) -> Self {
        Self {
            bound,
            stated: bound,
            used: 0,
            ended: 0,
        }
    }

    /// Something came; the error is what was granted in all.
    pub(crate) fn take(&mut self, amount: u64) -> Result<(), u64> {
        if amount > self.stated - self.used {
            return Err(self.stated);
        }
        self.used += amount;
        Ok(())
    }

    /// Something came that may begin as long as anything is left, however large it is; the error is
    /// what was granted in all.
    pub(crate) fn begin(&mut self, amount: u64) -> Result<(), u64> {
        if self.used >= self.stated {
            return Err(self.stated);
        }
        self.used += amount;
        Ok(())
    }

    /// What came and hasn't ended.
    pub(crate) fn open(&self) -> u64 {
        self.used - self.ended
    }

    /// What came has ended.
    pub(crate) fn end(&mut self, amount: u64) {
        self.ended += amount;
        debug_assert!(self.ended <= self.used, "nothing ends that didn't come");
    }

    /// Whether enough has ended for a statement: a quarter of the bound.
    pub(crate) fn is_due(&self) -> bool {
        self.bound + self.ended - self.stated >= (self.bound / 4).max(1)
    }

    /// The total to be stated.
    pub(crate) fn state(&mut self) -> u64 {
        self.stated = self.bound + self.ended;
        self.stated
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credit_that_shrinks_or_goes_beyond_the_bound_is_refused() {
        let mut spending = Spending::new(4);
        spending.take(3);
        assert_eq!(spending.state(3), Err(BadCredit::Shrinks));
        assert_eq!(spending.state(5), Err(BadCredit::BeyondBound));
        spending.end(1);
        assert_eq!(spending.state(6), Err(BadCredit::BeyondBound));
        assert_eq!(spending.state(5), Ok(()));
        assert_eq!(spending.available(), 2);
        assert_eq!(
            spending.state(5),
            Ok(()),
            "repeating a statement changes nothing"
        );
        assert_eq!(spending.available(), 2);
    }

    #[test]
    fn a_window_of_one_is_stated_each_time() {
        let mut granting = Granting::new(1);
        for total in 2..10 {
            assert_eq!(granting.take(1), Ok(()));
            assert_eq!(granting.take(1), Err(total - 1));
            assert!(!granting.is_due());
            granting.end(1);
            assert!(granting.is_due());
            assert_eq!(granting.state(), total);
        }
    }

    #[test]
    fn an_allowance_is_overshot_by_one_and_neither_shrinks_nor_wraps() {
        let mut sender = Allowance::new(10).unwrap();
        sender.take(9);
        assert!(sender.is_left());
        sender.take(1000);
        assert!(!sender.is_left());
        assert_eq!(sender.state(9), Err(BadCredit::Shrinks));
        assert_eq!(sender.state(u64::MAX), Err(BadCredit::BeyondBound));
        assert_eq!(sender.state(1009), Ok(()));
        assert!(!sender.is_left());
        assert_eq!(sender.state(1010), Ok(()));
        assert!(sender.is_left());
        assert!(Allowance::new(1 << 63).is_err());
    }

    proptest! {
        #[test]
        fn a_window_of_any_size_never_locks(bound in 1_u64..200, sizes: Vec<u8>) {
            let mut sender = Allowance::new(bound).unwrap();
            let mut receiver = Granting::new(bound);
            let mut held = std::collections::VecDeque::new();
            for size in sizes {
                let size = u64::from(size);
                while !sender.is_left() {
                    // Whatever is shut was shut by what is held: once that has ended, it opens.
                    let first = held.pop_front();
                    prop_assert!(first.is_some());
                    receiver.end(first.unwrap());
                    if receiver.is_due() {
                        prop_assert_eq!(sender.state(receiver.state()), Ok(()));
                    }
                }
                sender.take(size);
                prop_assert_eq!(receiver.begin(size), Ok(()));
                held.push_back(size);
            }
            prop_assert_eq!(receiver.open(), held.iter().sum::<u64>());
        }

        #[test]
        fn both_ends_agree_and_nothing_leaks(bound in 1_u64..300, steps: Vec<(u8, u8)>) {
            let mut sender = Spending::new(bound);
            let mut receiver = Granting::new(bound);
            for (what, amount) in steps {
                let amount = u64::from(amount);
                match what % 3 {
                    0 => {
                        let amount = amount.min(sender.available());
                        sender.take(amount);
                        prop_assert_eq!(receiver.take(amount), Ok(()));
                    }
                    1 => {
                        let amount = amount.min(sender.open());
                        receiver.end(amount);
                        sender.end(amount);
                    }
                    _ => if receiver.is_due() {
                        prop_assert_eq!(sender.state(receiver.state()), Ok(()));
                    }
                }
                prop_assert!(sender.open() <= bound && sender.available() + sender.open() <= bound);
            }
            let open = sender.open();
            sender.end(open);
            receiver.end(open);
            sender.state(receiver.state()).unwrap();
            prop_assert_eq!(sender.available(), bound);
        }
    }
}
