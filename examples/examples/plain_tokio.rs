//! A node inside a plain multi-thread tokio program, such as a web server.
//!
//! `cargo run -p botzilla-examples --example plain_tokio`

use botzilla::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[botzilla::message(reply = u64)]
struct Visit {
    page: String,
}

#[derive(Default)]
struct Counter {
    visits: std::collections::HashMap<String, u64>,
}

#[botzilla::component]
impl Counter {
    #[botzilla::handler]
    fn visit(&mut self, msg: Visit) -> u64 {
        let count = self.visits.entry(msg.page).or_default();
        *count += 1;
        *count
    }
}

/// One visitor of the server: a line in, a line out.
async fn serve(
    mut visitor: TcpStream,
    node: Node,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut page = vec![0; 64];
    let length = visitor.read(&mut page).await?;
    let page = String::from_utf8_lossy(&page[..length]).trim().to_owned();
    // From whichever thread tokio runs this on.
    let count = node
        .component("counter")
        .ask(Visit { page: page.clone() })
        .await?;
    visitor
        .write_all(format!("{page}: visit number {count}\n").as_bytes())
        .await?;
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // There is no actix system here, so the node starts a thread of its own. The handle is `Send`
    // and `Clone`: give it to whatever task needs it.
    let node = botzilla_examples::node().await?;
    node.spawn("counter", Counter::default).await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut visitors = JoinSet::new();
    for page in ["/map", "/map", "/battery", "/map"] {
        visitors.spawn(async move {
            let mut server = TcpStream::connect(address).await?;
            server.write_all(page.as_bytes()).await?;
            let mut answer = String::new();
            server.read_to_string(&mut answer).await?;
            print!("{answer}");
            Ok(())
        });
        let (visitor, _) = listener.accept().await?;
        visitors.spawn(serve(visitor, node.clone()));
    }
    while let Some(ended) = visitors.join_next().await {
        ended??;
    }
    // Says goodbye to the registry, so that nobody waits for its lease to end.
    node.shutdown(std::time::Duration::from_secs(1)).await;
    Ok(())
}
