use super::*;

const PAUSE: Duration = Duration::from_millis(100);

fn broken() -> RestartReason {
    RestartReason::Panicked("broken".to_owned())
}

/// Three that restart together: 0 was spawned first.
struct World {
    together: Together,
    now: Instant,
}

impl World {
    fn new(policy: Restart) -> Self {
        let mut together = Together::new(policy.back_off(PAUSE, PAUSE));
        for number in 0..3 {
            together.join(number, &format!("c{number}")).unwrap();
        }
        let now = Instant::now();
        Self { together, now }
    }

    fn fails(&mut self, number: u64) -> Option<String> {
        self.together.failed(number, broken(), self.now, 0.0)
    }

    fn steps(&mut self) -> [Step; 3] {
        [0, 1, 2].map(|number| self.together.step(number, self.now))
    }

    fn stops(&mut self, number: u64) {
        assert_eq!(self.together.step(number, self.now), Step::Stop);
        self.together.stopped(number, self.now);
    }

    fn builds(&mut self, number: u64) -> RestartReason {
        match self.together.step(number, self.now) {
            Step::Build(reason) => reason,
            other => panic!("{number}: {other:?}"),
        }
    }

    fn comes_up(&mut self, number: u64) -> RestartReason {
        let reason = self.builds(number);
        self.together.started(number, self.now);
        reason
    }
}

#[test]
fn they_stop_the_last_first_and_are_built_the_first_first() {
    let mut world = World::new(Restart::on_panic());
    assert_eq!(world.fails(1), None);
    assert_eq!(world.steps(), [Step::Serve, Step::Wait, Step::Stop]);
    world.stops(2);
    assert_eq!(world.steps(), [Step::Stop, Step::Wait, Step::Wait]);
    world.stops(0);
    let until = world.now + PAUSE;
    assert_eq!(world.steps(), [0; 3].map(|_| Step::Sleep(until)));
    world.now = until;
    // Whoever looks first.
    assert_eq!(world.together.step(2, world.now), Step::Wait);
    let with = RestartReason::Together {
        component: "c1".to_owned(),
        reason: Box::new(broken()),
    };
    assert_eq!(world.builds(0), with);
    assert_eq!(world.steps(), [Step::Serve, Step::Wait, Step::Wait]);
    world.together.started(0, world.now);
    assert_eq!(world.comes_up(1), broken());
    assert_eq!(world.comes_up(2), with);
    assert_eq!(world.steps(), [Step::Serve, Step::Serve, Step::Serve]);
}

#[test]
fn two_that_fail_at_the_same_time_are_one_restart_and_one_that_fails_meanwhile_is_another() {
    let mut world = World::new(Restart::on_panic().at_most(2, Duration::MAX));
    world.fails(2);
    assert_eq!(world.fails(0), None, "it was about to stop anyway");
    world.stops(1);
    world.now += PAUSE;
    world.comes_up(0);
    world.builds(1);
    // The first is up and serves; the second starts still, and is stopped first.
    world.fails(0);
    assert_eq!(world.steps(), [Step::Wait, Step::Stop, Step::Wait]);
    world.stops(1);
    world.now += 2 * PAUSE;
    world.comes_up(0);
    world.builds(1);
    let why = world.together.failed(1, broken(), world.now, 0.0).unwrap();
    assert!(why.contains("too often"), "{why}");
    assert_eq!(world.together.step(0, world.now), Step::Stop);
}

#[test]
fn one_that_is_given_up_takes_the_others_with_it_in_turn_and_then_all_is_forgotten() {
    let mut world = World::new(Restart::never());
    let why = world.fails(1).unwrap();
    assert!(matches!(
        &world.steps(),
        [Step::Serve, Step::End(_), Step::Stop]
    ));
    assert!(world.together.join(7, "late").is_err());
    world.stops(2);
    let Step::End(with) = world.together.step(2, world.now) else {
        panic!()
    };
    assert!(with.contains("c1") && with.contains(&why), "{with}");
    world.stops(0);
    for number in [1, 2, 0] {
        assert!(matches!(
            world.together.step(number, world.now),
            Step::End(_)
        ));
        world.together.leave(number, world.now);
    }
    world.together.join(8, "anew").unwrap();
    assert_eq!(world.together.step(8, world.now), Step::Serve);
}

#[test]
fn nobody_waits_for_one_that_has_left() {
    for left in 0..3 {
        let mut world = World::new(Restart::on_panic());
        let others: Vec<u64> = (0..3).filter(|it| *it != left).collect();
        world.fails(others[0]);
        world.together.leave(left, world.now);
        world.stops(others[1]);
        world.now += PAUSE;
        world.comes_up(others[0]);
        world.comes_up(others[1]);
        assert_eq!(world.together.step(others[0], world.now), Step::Serve);
        // In the middle of being built, too.
        world.fails(others[0]);
        world.stops(others[1]);
        world.now += 4 * PAUSE;
        world.builds(others[0]);
        world.together.leave(others[0], world.now);
        world.comes_up(others[1]);
    }
}

#[test]
fn one_that_joins_while_the_others_restart_is_not_built_twice() {
    let mut world = World::new(Restart::on_panic());
    world.fails(0);
    world.stops(2);
    world.stops(1);
    world.together.join(3, "c3").unwrap();
    world.now += PAUSE;
    for number in 0..3 {
        world.comes_up(number);
    }
    assert_eq!(world.together.step(3, world.now), Step::Serve);
    assert_eq!(world.steps(), [Step::Serve, Step::Serve, Step::Serve]);
}

#[test]
fn whatever_happens_in_whatever_order_they_come_up_again_or_end() {
    // A small generator of our own: the sequence is the seed's.
    for seed in 1..=2_000_u64 {
        let mut random = seed;
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut world = World::new(Restart::on_panic().at_most(5, Duration::MAX));
        let mut coming = [false; 3];
        let mut down = [false; 3];
        let mut ended = [false; 3];
        let mut chances = 12;
        for round in 0.. {
            assert!(round < 10_000, "seed {seed}: {:?}", world.together);
            let it = usize::try_from(next(3)).unwrap();
            let number = it as u64;
            let alive = !ended[it] && (!down[it] || coming[it]);
            if alive && chances > 0 && next(3) == 0 {
                chances -= 1;
                (down[it], coming[it]) = (true, false);
                world.fails(number);
            } else if coming[it] && !world.together.is_to_stop(number) {
                (down[it], coming[it]) = (false, false);
                world.together.started(number, world.now);
            } else if !ended[it] {
                match world.together.step(number, world.now) {
                    Step::Stop => {
                        assert!(!down[it] || coming[it], "seed {seed}");
                        (down[it], coming[it]) = (true, false);
                        world.together.stopped(number, world.now);
                    }
                    Step::Build(_) => {
                        assert!(down[it], "seed {seed}: two states at once");
                        let before = (0..it).all(|it| ended[it] || (!down[it] && !coming[it]));
                        assert!(before, "seed {seed}: not in order");
                        coming[it] = true;
                    }
                    Step::Sleep(until) => world.now = until,
                    Step::End(_) => {
                        ended[it] = true;
                        world.together.leave(number, world.now);
                    }
                    Step::Serve | Step::Wait => {}
                }
            }
            let up = (0..3).all(|it| !down[it] && !coming[it]);
            if ended == [true; 3] || (chances == 0 && up) {
                break;
            }
        }
    }
}
