//! String maps from a program that isn't async.

use std::sync::mpsc;

use botzilla::{Map, MapComponent};
use botzilla_examples::registry_blocking;

fn news() -> Map {
    Map::from([("news".to_owned(), "done".to_owned())])
}

#[test]
fn a_listener_hears_broadcasts_and_its_sender_does_not() {
    let (registry, secret) = registry_blocking().unwrap();
    let (heard, hears) = mpsc::channel();
    let listener = move |map| {
        heard
            .send(map)
            .map(|()| Map::new())
            .map_err(|_| "deaf".into())
    };
    let display = MapComponent::new(&registry, &secret, "display", 0, listener).unwrap();
    let console = MapComponent::new(&registry, &secret, "console", 0, |_| Ok(Map::new())).unwrap();
    let report = console.broadcast_message(&news()).unwrap();
    assert_eq!(report.delivered, ["display"]);
    assert_eq!(hears.recv().unwrap(), news());
    display.close();
    console.close();
}

#[test]
fn a_name_that_was_closed_is_free_at_once() {
    let (registry, secret) = registry_blocking().unwrap();
    for _ in 0..5 {
        let lamp = MapComponent::new(&registry, &secret, "lamp", 0, Ok).unwrap();
        lamp.close();
        assert!(lamp.send_message("lamp", &news()).is_err());
    }
}
