//! Not a test: how fast two nodes on one thread are, beside plain TCP.

use super::*;

#[test]
#[ignore = "prints figures; run it alone, in release"]
fn figures() {
    run(async {
        let (a, b) = (make(1).start(echo), make(2).start(echo));
        let link = a.connect(&b).await;
        let route = route_to("b");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = [0; 64];
            while stream.read_exact(&mut buffer).await.is_ok() {
                stream.write_all(&buffer).await.unwrap();
            }
        });
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.set_nodelay(true).unwrap();
        for _ in 0..3 {
            let mut times = Vec::new();
            for _ in 0..20_000 {
                let began = Instant::now();
                plain.write_all(&[1; 64]).await.unwrap();
                plain.read_exact(&mut [0; 64]).await.unwrap();
                times.push(began.elapsed());
            }
            times.sort();
            let tcp = times[times.len() / 2];
            let mut times = Vec::new();
            for _ in 0..20_000 {
                let began = Instant::now();
                reply(&link, message(&route, Kind::Ask, vec![1; 64])).await;
                times.push(began.elapsed());
            }
            times.sort();
            let ask = times[times.len() / 2];
            let began = Instant::now();
            let mut flight = std::collections::VecDeque::new();
            for _ in 0..200_000 {
                flight.push_back(send(&link, message(&route, Kind::Ask, vec![1; 64])).await);
                if flight.len() == 128 {
                    flight.pop_front().unwrap().await.unwrap();
                }
            }
            let pipelined = 200_000.0 / began.elapsed().as_secs_f64();
            let began = Instant::now();
            let mut last = None;
            for _ in 0..500_000 {
                last = Some(send(&link, message(&route, Kind::Tell, vec![1; 64])).await);
            }
            last.unwrap().await.unwrap();
            let tells = 500_000.0 / began.elapsed().as_secs_f64();
            println!(
                "tcp {tcp:?}, ask {ask:?} ({:.2}), 128 in flight {pipelined:.0}/s, tells {tells:.0}/s",
                ask.as_secs_f64() / tcp.as_secs_f64()
            );
        }
    });
}
