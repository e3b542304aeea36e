//! String maps, as in the Go library that Botzilla re-imagines: a map out, a map back.
//!
//! `cargo run -p botzilla-examples --example string_map`
//!
//! Nothing is async here: each component has a node on a thread of its own, and every call blocks.

use std::sync::mpsc;

use botzilla::{Map, MapComponent};

/// A map of the pairs.
fn map<const N: usize>(pairs: [(&str, &str); N]) -> Map {
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Where the registry is, and the secret that all components share.
    let (registry, secret) = botzilla_examples::registry_blocking()?;

    // A listener gets a map and returns a map, or a text that says why not.
    let calculator = MapComponent::new(&registry, &secret, "calculator", 0, |map| {
        let number = |key| {
            let text = map.get(key).ok_or(format!("{key:?} is missing"))?;
            text.parse::<f64>()
                .map_err(|_| format!("{key:?} is no number: {text:?}"))
        };
        let sum = number("a")? + number("b")?;
        Ok(Map::from([("sum".to_owned(), sum.to_string())]))
    })?;

    let (heard, hears) = mpsc::channel();
    let display = MapComponent::new(&registry, &secret, "display", 0, move |map| {
        heard.send(map).map_err(|_| "the display is off")?;
        Ok(Map::new())
    })?;

    // It returns once it is registered: others find it from here on, and it finds them.
    let console = MapComponent::new(&registry, &secret, "console", 0, |_| Ok(Map::new()))?;

    let reply = console.send_message("calculator", &map([("a", "2"), ("b", "40")]))?;
    println!("2 + 40 = {}", reply["sum"]);

    // A listener's "no" comes back as its own text, not as a connection that closes.
    if let Err(error) = console.send_message("calculator", &map([("a", "two"), ("b", "40")])) {
        println!("refused: {error}");
    }

    println!("components: {}", console.get_components()?.join(", "));

    // To all who listen, with a report of who got it. The sender itself gets none.
    let report = console.broadcast_message(&map([("news", "done")]))?;
    println!("delivered to: {}", report.delivered.join(", "));
    println!("the display hears: {:?}", hears.recv()?);

    // Gives the names back; those of a program that just ends stay taken for some seconds.
    [calculator, display, console]
        .iter()
        .for_each(MapComponent::close);
    Ok(())
}
