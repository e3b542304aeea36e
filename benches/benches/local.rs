//! A local ask beside bare actix's, on one arbiter, in one run: what hosting costs.

use std::time::{Duration, Instant};

use botzilla::prelude::*;
use criterion::{Criterion, criterion_group, criterion_main};

#[botzilla::message(reply = u64)]
#[derive(actix::Message)]
#[rtype(result = "u64")]
struct Add {
    amount: u64,
}

#[botzilla::message(reply = u64)]
struct AddAsync {
    amount: u64,
}

#[derive(Default)]
struct Counter {
    total: u64,
}

#[botzilla::component]
impl Counter {
    #[botzilla::handler]
    fn add(&mut self, msg: Add) -> u64 {
        self.total += msg.amount;
        self.total
    }

    #[botzilla::handler]
    async fn add_async(&mut self, msg: AddAsync) -> u64 {
        self.total += msg.amount;
        self.total
    }
}

struct Bare {
    total: u64,
}

impl actix::Actor for Bare {
    type Context = actix::Context<Self>;
}

impl actix::Handler<Add> for Bare {
    type Result = u64;

    fn handle(&mut self, msg: Add, _: &mut Self::Context) -> u64 {
        self.total += msg.amount;
        self.total
    }
}

fn local_ask(criterion: &mut Criterion) {
    let system = actix_rt::System::new();
    let (node, counter, bare) = system.block_on(async {
        let node = Node::start(NodeConfig::in_process())
            .await
            .expect("no network is needed");
        let counter = node
            .spawn("counter", Counter::default)
            .await
            .expect("the name is free");
        (node, counter, actix::Actor::start(Bare { total: 0 }))
    });
    let mut group = criterion.benchmark_group("local ask, one arbiter");
    group
        .measurement_time(Duration::from_secs(4))
        .warm_up_time(Duration::from_secs(1));
    group.bench_function("bare actix", |bencher| {
        bencher.iter_custom(|rounds| {
            system.block_on(async {
                let start = Instant::now();
                for _ in 0..rounds {
                    bare.send(Add { amount: 1 }).await.expect("it is alive");
                }
                start.elapsed()
            })
        });
    });
    group.bench_function("botzilla, sync handler", |bencher| {
        bencher.iter_custom(|rounds| {
            system.block_on(async {
                let start = Instant::now();
                for _ in 0..rounds {
                    counter.ask(Add { amount: 1 }).await.expect("it is alive");
                }
                start.elapsed()
            })
        });
    });
    group.bench_function("botzilla, async handler", |bencher| {
        bencher.iter_custom(|rounds| {
            system.block_on(async {
                let start = Instant::now();
                for _ in 0..rounds {
                    counter
                        .ask(AddAsync { amount: 1 })
                        .await
                        .expect("it is alive");
                }
                start.elapsed()
            })
        });
    });
    group.finish();
    system.block_on(async { node.shutdown(Duration::from_secs(1)).await });
}

criterion_group!(benches, local_ask);
criterion_main!(benches);
