//! Asks and tells between two processes on loopback, beside plain TCP with the same framing and no
//! authentication, in one run.
//!
//! Criterion measures each by itself; before that, interleaved rounds give the ratios, which is what
//! to look at: absolute times mean little on a shared machine.

use std::{
    io,
    time::{Duration, Instant},
};

use botzilla::ComponentRef;
use botzilla_benches::{
    IN_FLIGHT, botz, plain,
    process::{self, Cores, Server},
    quantile,
};
use criterion::{Criterion, Throughput};

const ROUNDS: usize = 7;
const ASKS: u64 = 10_000;
const PIPELINED: u64 = 128 * 400;
const TELLS: u64 = 200_000;

/// Both servers and a client of each.
struct Pair {
    _servers: [Server; 2],
    plain: plain::Client,
    mirror: ComponentRef,
}

impl Pair {
    async fn start(cores: Cores) -> botzilla::Result<Self> {
        process::pin(cores)?;
        let servers = [
            process::serve("plain", cores)?,
            process::serve("botzilla", cores)?,
        ];
        let plain = plain::Client::connect(&servers[0].address).await?;
        let (_, mirror) = botz::connect(&servers[1].address).await?;
        Ok(Self {
            _servers: servers,
            plain,
            mirror,
        })
    }
}

#[derive(Clone, Copy)]
enum Side {
    Plain,
    Botzilla,
}

/// The median of each side's rounds, interleaved.
async fn ratios(cores: Cores) -> botzilla::Result<()> {
    let mut pair = Pair::start(cores).await?;
    let mut table: [[Vec<f64>; 2]; 4] = Default::default();
    for _ in 0..ROUNDS {
        for side in [Side::Plain, Side::Botzilla] {
            let mut times = match side {
                Side::Plain => pair.plain.asks(ASKS).await?,
                Side::Botzilla => botz::asks(&pair.mirror, ASKS).await?,
            };
            times.sort_unstable();
            table[0][side as usize].push(quantile(&times, 0.5) as f64 / 1e3);
            table[1][side as usize].push(quantile(&times, 0.99) as f64 / 1e3);
        }
        for side in [Side::Plain, Side::Botzilla] {
            let start = Instant::now();
            match side {
                Side::Plain => pair.plain.pipelined(PIPELINED, IN_FLIGHT).await?,
                Side::Botzilla => botz::pipelined(&pair.mirror, PIPELINED, IN_FLIGHT).await?,
            }
            table[2][side as usize].push(PIPELINED as f64 / start.elapsed().as_secs_f64() / 1e3);
        }
        for side in [Side::Plain, Side::Botzilla] {
            let start = Instant::now();
            match side {
                Side::Plain => pair.plain.tells(TELLS).await?,
                Side::Botzilla => botz::tells(&pair.mirror, TELLS).await?,
            }
            table[3][side as usize].push(TELLS as f64 / start.elapsed().as_secs_f64() / 1e3);
        }
    }
    let what = [
        "ask 64 B p50, us",
        "ask 64 B p99, us",
        "128 in flight, k/s",
        "tell 64 B, k/s",
    ];
    let place = if cores == Cores::One {
        "both processes on one core"
    } else {
        "two cores"
    };
    println!("\n{place}; medians of {ROUNDS} interleaved rounds");
    println!(
        "{:22} {:>12} {:>12} {:>8}",
        "", "plain TCP", "botzilla", "ratio"
    );
    for (what, [plain, botzilla]) in what.iter().zip(&mut table) {
        let (plain, botzilla) = (median(plain), median(botzilla));
        println!(
            "{what:22} {plain:12.1} {botzilla:12.1} {:8.2}",
            botzilla / plain
        );
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn remote(criterion: &mut Criterion, system: &actix_rt::SystemRunner) -> botzilla::Result<()> {
    let mut pair = system.block_on(Pair::start(Cores::One))?;
    let mut group = criterion.benchmark_group("remote, one core");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2));
    group.warm_up_time(Duration::from_millis(300));
    let timed = |work: &mut dyn FnMut() -> botzilla::Result<()>| {
        let start = Instant::now();
        work().expect("the servers are there");
        start.elapsed()
    };
    group.bench_function("ask, plain TCP", |bencher| {
        bencher
            .iter_custom(|n| timed(&mut || Ok(system.block_on(pair.plain.asks(n)).map(drop)?)));
    });
    group.bench_function("ask, botzilla", |bencher| {
        bencher.iter_custom(|n| {
            timed(&mut || Ok(system.block_on(botz::asks(&pair.mirror, n)).map(drop)?))
        });
    });
    group.throughput(Throughput::Elements(IN_FLIGHT as u64));
    group.bench_function("128 asks in flight, plain TCP", |bencher| {
        bencher.iter_custom(|n| {
            let n = n * IN_FLIGHT as u64;
            timed(&mut || Ok(system.block_on(pair.plain.pipelined(n, IN_FLIGHT))?))
        });
    });
    group.bench_function("128 asks in flight, botzilla", |bencher| {
        bencher.iter_custom(|n| {
            let n = n * IN_FLIGHT as u64;
            timed(&mut || Ok(system.block_on(botz::pipelined(&pair.mirror, n, IN_FLIGHT))?))
        });
    });
    group.throughput(Throughput::Elements(1000));
    group.bench_function("1000 tells, plain TCP", |bencher| {
        bencher.iter_custom(|n| timed(&mut || Ok(system.block_on(pair.plain.tells(n * 1000))?)));
    });
    group.bench_function("1000 tells, botzilla", |bencher| {
        bencher.iter_custom(|n| {
            timed(&mut || Ok(system.block_on(botz::tells(&pair.mirror, n * 1000))?))
        });
    });
    group.finish();
    Ok(())
}

fn main() -> botzilla::Result<()> {
    let system = actix_rt::System::new();
    match process::role().as_deref() {
        Some("plain") => {
            process::end_with_parent();
            return system.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
                println!("{}", listener.local_addr()?);
                Ok(plain::serve(listener).await?)
            });
        }
        Some("botzilla") => {
            process::end_with_parent();
            return system.block_on(botz::serve());
        }
        Some(other) => return Err(io::Error::other(format!("no role {other:?}")).into()),
        None => {}
    }
    let mut criterion = Criterion::default().configure_from_args();
    // `cargo test --benches` and `--list` only want to know that it runs.
    if std::env::args().any(|arg| arg == "--bench") {
        system.block_on(ratios(Cores::One))?;
        system.block_on(ratios(Cores::Any))?;
    }
    remote(&mut criterion, &system)?;
    criterion.final_summary();
    Ok(())
}
