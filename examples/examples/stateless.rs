//! A component without state: a function.
//!
//! `cargo run -p botzilla-examples --example stateless`

use std::time::Duration;

use botzilla::prelude::*;

#[botzilla::message(reply = f64)]
struct Mean {
    of: Vec<f64>,
}

#[botzilla::message(reply = String)]
struct Fetch {
    what: String,
    takes_ms: u64,
}

/// Stays an ordinary function: it can be called, and tested, as one.
#[botzilla::handler]
fn mean(msg: Mean) -> f64 {
    msg.of.iter().sum::<f64>() / msg.of.len().max(1) as f64
}

/// An async one that waits holds up nobody: with no state to guard, messages run beside each other.
#[botzilla::handler]
async fn fetch(msg: Fetch, ctx: &Ctx) -> String {
    tokio::time::sleep(Duration::from_millis(msg.takes_ms)).await;
    format!("{} from {}", msg.what, ctx.name())
}

#[botzilla::main]
async fn main() -> botzilla::Result<()> {
    let node = botzilla_examples::node().await?;

    // Groups, which a component has in its attribute, are given here.
    let mean_of = node.spawn("mean", mean).groups(["maths"]).await?;
    let store = node.spawn("store", fetch).await?;

    println!(
        "asked:  {}",
        mean_of
            .ask(Mean {
                of: vec![1.0, 2.0, 6.0]
            })
            .await?
    );
    println!(
        "called: {}",
        mean(Mean {
            of: vec![1.0, 2.0, 6.0]
        })
    );

    // The slow one is asked first and answers last.
    let slow = store.ask(Fetch {
        what: "an anvil".into(),
        takes_ms: 200,
    });
    let fast = store.ask(Fetch {
        what: "a feather".into(),
        takes_ms: 1,
    });
    let (mut slow, mut fast) = (slow.into_future(), fast.into_future());
    loop {
        tokio::select! {
            reply = &mut fast => println!("fast:   {}", reply?),
            reply = &mut slow => {
                println!("slow:   {}", reply?);
                break;
            }
        }
    }
    node.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
