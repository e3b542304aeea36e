//! Two components and a message.
//!
//! `cargo run -p botzilla-examples --example hello`

use std::time::Duration;

use botzilla::prelude::*;

/// A message is plain data. `reply` says what answers it; without it, that is `()`.
#[botzilla::message(reply = Greeting)]
struct Greet {
    name: String,
}

/// What replies are made of is data, too.
#[botzilla::data]
struct Greeting {
    text: String,
    count: u32,
}

/// A reply that can fail is a `Result`; its error travels to the asker as it is.
#[botzilla::message(reply = Result<String, String>)]
struct Introduce {
    whom: String,
}

/// A component is a plain struct; its fields are its state.
#[derive(Default)]
struct Greeter {
    count: u32,
}

#[botzilla::component]
impl Greeter {
    // Messages come here one at a time, so `&mut self` needs no lock.
    #[botzilla::handler]
    fn greet(&mut self, msg: Greet) -> Greeting {
        self.count += 1;
        let text = format!("hello, {}", msg.name);
        Greeting {
            text,
            count: self.count,
        }
    }
}

struct Host;

#[botzilla::component]
impl Host {
    // Asks the other component by its name. It may run here, in another process or on another
    // machine: nothing in this line would change.
    #[botzilla::handler]
    async fn introduce(&mut self, msg: Introduce, ctx: &Ctx<Self>) -> Result<String, String> {
        let greeting = ctx.component("greeter").ask(Greet { name: msg.whom }).await;
        let greeting = greeting.map_err(|error| error.to_string())?;
        Ok(format!(
            "{} (that was number {})",
            greeting.text, greeting.count
        ))
    }
}

#[botzilla::main]
async fn main() -> botzilla::Result<()> {
    // In a program of your own: `Node::from_env().await?`.
    let node = botzilla_examples::node().await?;

    // Not a value but a way to make one: after a panic, the component is made anew.
    node.spawn("greeter", Greeter::default).await?;
    node.spawn("host", || Host).await?;

    for name in ["Ada", "Grace"] {
        // Two things can go wrong: the ask (`await?`), and what the handler says (`?`).
        let text = node
            .component("host")
            .ask(Introduce { whom: name.into() })
            .await??;
        println!("{text}");
    }
    // Says goodbye to the registry, so that the names are free at once.
    node.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
