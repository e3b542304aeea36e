//! Host names become addresses, each on a thread of its own.
//!
//! The system's resolver may hang for half a minute when its name server doesn't answer. Who waits
//! for it waits no longer than he likes, on whatever thread; a runtime's pool of blocking threads
//! won't do, for a runtime that ends waits for all of them.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, LazyLock},
    time::Duration,
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::{sync::watch, time::timeout};

use super::error::AttemptError;

/// Look-ups at a time, of the whole process; one that hangs keeps its place until the system gives up.
const AT_A_TIME: usize = 16;

type Found = Result<Arc<[SocketAddr]>, Arc<str>>;

/// Look-ups that go on, by name: who wants the same name waits for the same one.
static LOOKUPS: LazyLock<Mutex<FxHashMap<String, watch::Receiver<Option<Found>>>>> =
    LazyLock::new(Mutex::default);

/// The addresses of a host, in the system's order.
pub(crate) async fn look_up(
    host: &str,
    port: u16,
    within: Duration,
) -> Result<Vec<SocketAddr>, AttemptError> {
    // The port is of no matter to whoever waits for the same name.
    let resolve = |host: &str| (host, 0).to_socket_addrs().map(Iterator::collect);
    let found = look_up_by(host, within, resolve).await?;
    let with_port = |address: &SocketAddr| {
        let mut address = *address;
        address.set_port(port);
        address
    };
    Ok(found.iter().map(with_port).collect())
}

async fn look_up_by(
    host: &str,
    within: Duration,
    resolve: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> Result<Arc<[SocketAddr]>, AttemptError> {
    let failed = |why: &str| AttemptError::Lookup { why: why.into() };
    let mut waiting = join(host, resolve).map_err(|why| failed(&why))?;
    let done = timeout(within, waiting.wait_for(Option::is_some)).await;
    let Ok(done) = done else {
        return Err(failed("the name server does not answer"));
    };
    // Without a word its thread panicked.
    let found = done.ok().and_then(|found| found.clone());
    match found.unwrap_or_else(|| Err("the look-up broke off".into())) {
        Ok(found) if found.is_empty() => Err(failed("it has no address")),
        Ok(found) => Ok(found),
        Err(why) => Err(failed(&why)),
    }
}

/// Begins to look a name up, unless somebody does already.
fn join(
    host: &str,
    resolve: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> Result<watch::Receiver<Option<Found>>, String> {
    let mut lookups = LOOKUPS.lock();
    if let Some(running) = lookups.get(host) {
        return Ok(running.clone());
    }
    if lookups.len() >= AT_A_TIME {
        return Err(format!(
            "{AT_A_TIME} other names are being looked up, and the name server does not answer"
        ));
    }
    let (sender, receiver) = watch::channel(None);
    let entry = Entry(host.to_owned());
    let thread = std::thread::Builder::new().name("botzilla-names".to_owned());
    let run = move || {
        let found = resolve(&entry.0);
        let found = found
            .map(Arc::from)
            .map_err(|error| Arc::from(error.to_string()));
        // First it goes, so that who comes now looks anew.
        drop(entry);
        sender.send_replace(Some(found));
    };
    lookups.insert(host.to_owned(), receiver.clone());
    // Not under the lock: should there be no thread, the entry that is dropped wants it.
    drop(lookups);
    thread
        .spawn(run)
        .map_err(|error| format!("no thread to look it up: {error}"))?;
    Ok(receiver)
}

/// The place of a look-up among those that go on.
struct Entry(String);

impl Drop for Entry {
    fn drop(&mut self) {
        LOOKUPS.lock().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Instant,
    };

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_resolver_that_hangs_costs_who_asks_his_time_and_no_more_and_is_asked_once() {
        let (release, held) = mpsc::channel::<()>();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let began = Instant::now();
        let hang = move |_: &str| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = held.recv();
            Ok(vec!["10.1.1.1:0".parse().unwrap()])
        };
        let error = look_up_by("hangs.test", SOON, hang).await.unwrap_err();
        assert!(error.to_string().contains("does not answer"), "{error}");
        let never =
            |_: &str| -> io::Result<Vec<SocketAddr>> { unreachable!("somebody asks already") };
        let error = look_up_by("hangs.test", SOON, never).await.unwrap_err();
        assert!(error.to_string().contains("does not answer"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(10));
        // Others are found meanwhile, and who waits on hears of it.
        let other = |_: &str| Ok(vec!["10.2.2.2:0".parse().unwrap()]);
        let long = Duration::from_secs(30);
        assert_eq!(
            look_up_by("other.test", long, other).await.unwrap().len(),
            1
        );
        release.send(()).unwrap();
        let late = |_: &str| Ok(vec!["10.1.1.1:0".parse().unwrap()]);
        let found = look_up_by("hangs.test", long, late).await.unwrap();
        assert_eq!(found[0], "10.1.1.1:0".parse().unwrap());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_says_what_the_system_said_and_is_asked_again() {
        let fail = |_: &str| Err(io::Error::other("no such host"));
        let error = look_up_by("gone.test", SOON * 100, fail).await.unwrap_err();
        assert!(error.to_string().contains("no such host"), "{error}");
        let none = |_: &str| Ok(Vec::new());
        let error = look_up_by("gone.test", SOON * 100, none).await.unwrap_err();
        assert!(error.to_string().contains("no address"), "{error}");
    }
}
