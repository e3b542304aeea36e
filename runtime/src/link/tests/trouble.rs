//! Strangers, and wires that break.

use super::*;

#[test]
fn a_node_joins_while_a_thousand_silent_connections_come() {
    run(async {
        let (a, b) = (make(1).start(echo), make(2).start(echo));
        let mut silent = Vec::new();
        let mut most = 0;
        for i in 0..1000 {
            match TcpStream::connect(b.address).await {
                Ok(stream) => silent.push(stream),
                // The process may have fewer descriptors; those that were let go do as well.
                Err(_) => drop(silent.drain(..silent.len() / 2)),
            }
            most = most.max(b.links.unproven.lock().len());
            if i == 500 {
                let link = a.connect(&b).await;
                assert_eq!(reply(&link, ask("b", "in")).await, "in");
            }
        }
        let link = a.links.current(b.id).unwrap();
        assert_eq!(reply(&link, ask("b", "still in")).await, "still in");
        assert!((1..=8).contains(&most), "{most} at a time from one address");
        // The last ones are cut when their time is over; the others were pushed out.
        for stream in &mut silent[..100] {
            assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        }
    });
}

#[test]
fn pings_come_each_interval_not_just_in_time() {
    run(async {
        let quick = |limits: &mut Limits| {
            limits.ping_every = Duration::from_millis(20);
            limits.dead_after = 2 * LONG;
        };
        let (a, b) = (
            make(1).limits(quick).start(echo),
            make(2).limits(quick).start(echo),
        );
        let link = a.connect(&b).await;
        for _ in 0..20 {
            let heard = link.last_heard();
            until(|| link.last_heard() != heard).await;
        }
    });
}

#[test]
fn a_peer_that_falls_silent_is_dead_after_its_time() {
    run(async {
        let quick = |limits: &mut Limits| {
            limits.ping_every = Duration::from_millis(50);
            limits.dead_after = Duration::from_millis(1500);
        };
        let (a, b) = (
            make(1).limits(quick).start(echo),
            make(2).limits(quick).start(|inbound| {
                // Never answers.
                std::mem::forget(inbound.responder);
            }),
        );
        let proxy = Proxy::to(b.address).await;
        let link = a
            .links
            .connect(b.id, &[proxy.address.to_string()], soon())
            .await
            .unwrap();
        let lost = send(&link, ask("b", "anybody?")).await;
        until(|| b.host.requests() == 1).await;
        // Nothing but pings comes, and keeps it alive.
        let mut heard = vec![link.last_heard()];
        until(|| {
            if heard.last() != Some(&link.last_heard()) {
                heard.push(link.last_heard());
            }
            heard.len() > 4
        })
        .await;
        assert!(link.is_open());
        let heard = link.last_heard();
        proxy.set(Wire::Stalled);
        let ended = lost.await.unwrap();
        assert!(
            matches!(
                &ended,
                Ended::Disconnected {
                    may_have_run: true,
                    ..
                }
            ),
            "{ended:?}"
        );
        assert!(Instant::now() - heard >= Duration::from_millis(1500));
        assert!(!a.links.is_connected(b.id) && a.links.last_heard(b.id).unwrap() >= heard);
        until(|| b.host.downs() == 1).await;
        for node in [&a, &b] {
            let (_, why) = node.host.downs.lock()[0].clone();
            assert!(why.contains("not a byte"), "{why}");
        }
    });
}

#[test]
fn a_torn_connection_ends_what_is_open_at_once_and_says_whether_it_may_have_run() {
    run(async {
        let shelf = Shelf::default();
        let (a, b) = (make(1).start(echo), make(2).start(shelf.put()));
        let proxy = Proxy::to(b.address).await;
        let link = a
            .links
            .connect(b.id, &[proxy.address.to_string()], soon())
            .await
            .unwrap();
        let seen = send(&link, ask("b", "seen")).await;
        until(|| shelf.len() == 1).await;
        // 255 more fill the window, so this one waits for credit and never leaves.
        let mut filling = Vec::new();
        while let Ok(ended) = try_send(&link, &tell("b", "")) {
            filling.push(ended);
        }
        let (unsent, _) = ticket();
        let waiting = link.send(tell("b", "waits"), unsent);
        let (waiting, ()) = tokio::join!(waiting, async { proxy.set(Wire::Cut) });
        assert!(
            matches!(waiting, Err((_, NotSent::Closed { .. }))),
            "{waiting:?}"
        );
        assert!(matches!(
            seen.await.unwrap(),
            Ended::Disconnected {
                may_have_run: true,
                ..
            }
        ));
        for ended in filling {
            assert!(matches!(ended.await.unwrap(), Ended::Disconnected { .. }));
        }
        assert!(matches!(
            try_send(&link, &tell("b", "late")),
            Err(NotSent::Closed { .. })
        ));
        // Answering what came over it harms nobody, and there is a new connection for who asks.
        shelf
            .take()
            .into_iter()
            .for_each(|inbound| inbound.responder.reply(Bytes::new()));
        until(|| b.host.downs() == 1).await;
        assert!(a.connect(&b).await.is_open());
    });
}

#[test]
fn a_bit_flipped_on_the_way_ends_the_connection_and_nothing_of_it_runs() {
    run(async {
        for place in [0, 1, 3, 4, 5, 9, 20, 40] {
            // A length that was altered is noticed by what doesn't come, after twice this time.
            let quick = |limits: &mut Limits| {
                limits.ping_every = Duration::from_millis(500);
                limits.dead_after = Duration::from_millis(1000);
            };
            let (a, b) = (make(1).start(echo), make(2).limits(quick).start(echo));
            let proxy = Proxy::to(b.address).await;
            let link = a
                .links
                .connect(b.id, &[proxy.address.to_string()], soon())
                .await
                .unwrap();
            assert_eq!(reply(&link, ask("b", "whole")).await, "whole");
            let before = b.host.requests();
            proxy.flip.store(proxy.passed() + place, Ordering::SeqCst);
            let lost = send(&link, ask("b", vec![7; 64])).await;
            assert!(
                matches!(lost.await.unwrap(), Ended::Disconnected { .. }),
                "byte {place}"
            );
            assert_eq!(b.host.requests(), before, "byte {place}");
            until(|| b.host.downs() == 1).await;
        }
    });
}

/// Says of a process how long it has been computing, in ticks.
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Set in the process that is the other half of the test below.
#[cfg(target_os = "linux")]
const FEW_DESCRIPTORS: &str = "BOTZILLA_LINK_FEW_DESCRIPTORS";

/// Does nothing, unless it is started by the test below, in a process that may have few descriptors.
#[cfg(target_os = "linux")]
#[test]
fn serves_until_its_input_ends() {
    if std::env::var_os(FEW_DESCRIPTORS).is_none() {
        return;
    }
    run(async {
        let b = make(2)
            .limits(|limits| limits.unproven_per_address = 64)
            .start(echo);
        println!("address {}", b.address);
        std::thread::spawn(|| {
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
                .map(|_| std::process::exit(0))
        });
        std::future::pending::<()>().await;
    });
}

#[cfg(target_os = "linux")]
#[test]
fn running_out_of_descriptors_pauses_accepting_and_ends() {
    use std::io::{BufRead, BufReader};
    let mut child = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 24; exec \"$0\" --exact --nocapture \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg("link::tests::trouble::serves_until_its_input_ends")
        .env(FEW_DESCRIPTORS, "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The test harness may have written to the same line before.
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| line.split("address ").nth(1).map(str::to_owned));
    let address: SocketAddr = address.unwrap().parse().unwrap();
    let process = child.id();
    run(async move {
        let mut silent = Vec::new();
        for _ in 0..40 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let (before, began) = (ticks(process), Instant::now());
        until(|| began.elapsed() > Duration::from_millis(700)).await;
        // Spinning, it would take all of the 70.
        assert!(ticks(process) - before < 30, "it spins");
        drop(silent);
        let a = make(1).start(echo);
        let link = a
            .links
            .connect_address(&address.to_string(), soon())
            .await
            .unwrap();
        assert_eq!(reply(&link, ask("b", "in")).await, "in");
    });
    drop(child.stdin.take());
    child.wait().unwrap();
}
