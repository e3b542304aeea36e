//! A robot of three processes is given a new secret while it works: nothing fails, nothing is missing, and
//! who still has the old one is out.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use botzilla::{Ctx, HookError, Node, NodeConfig, Publisher, Qos, Settings};
use botzilla_registry::Registry;
use futures_util::future::join_all;

use super::{
    child::{orders, say, variable},
    support::{PATIENCE, Process, run, seconds, until},
};

const OLD: &str = "bz1:old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "bz1:new:HxAeDx0OHA0bDBoLGQoYCRcIFgcVBhQFEwQSAxECEAE=";

// ---- what the processes are -------------------------------------------------------------------------

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.registry = Some(variable("IT_REGISTRY"));
    settings.secret_file = Some(variable("IT_SECRET_FILE").into());
    settings.listen = Some("127.0.0.1:0".to_owned());
    settings
}

pub(super) async fn registry() -> botzilla::Result<()> {
    let node = NodeConfig::hosting_registry_from(&settings())?.listen("127.0.0.1:0");
    let running = Registry::with(node).fresh().start().await?;
    running.node().reload_at_sighup().await?;
    say(&format!(
        "ready {} {}",
        running.node().id(),
        running.address()
    ));
    answer(running.node(), String::new).await;
    Ok(())
}

/// Answers the test's orders until it is gone.
async fn answer(node: &Node, tally: impl Fn() -> String) {
    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        match &*order {
            "keys" => say(&format!("keys {}", node.key_ids().join(" "))),
            "reload" => {
                let read = node.reload().await;
                say(&read.map_or_else(|error| format!("kept {error}"), |()| "read".to_owned()));
            }
            "tally" => say(&format!("tally {}", tally())),
            other => panic!("no such order: {other}"),
        }
    }
}

/// Nothing of it may come twice, be left out, or overtake.
#[botzilla::message]
struct InOrder {
    from: u64,
    n: u64,
}

/// Answered after so long.
#[botzilla::message(reply = u64)]
struct Nap {
    ms: u64,
}

#[botzilla::message(reply = u64)]
struct Disorder {}

#[derive(Default)]
struct Source {
    ticks: Option<Arc<Publisher<u64>>>,
    next: Vec<u64>,
    disorder: u64,
}

#[botzilla::component]
impl Source {
    #[botzilla::on_start]
    fn start(&mut self, ctx: &Ctx<Self>) -> Result<(), HookError> {
        let ticks = Arc::new(ctx.publish::<u64>("ticks", Qos::reliable().depth(16))?);
        self.ticks = Some(Arc::clone(&ticks));
        ctx.spawn(async move {
            let mut n = 0;
            while ticks.send(n).await.is_ok() {
                n += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Ok(())
    }

    #[botzilla::handler]
    fn in_order(&mut self, msg: InOrder) {
        let at = msg.from as usize;
        if self.next.len() <= at {
            self.next.resize(at + 1, 0);
        }
        if self.next[at] != msg.n {
            self.disorder += 1;
        }
        self.next[at] = msg.n + 1;
    }

    #[botzilla::handler]
    async fn nap(msg: Nap) -> u64 {
        tokio::time::sleep(Duration::from_millis(msg.ms)).await;
        msg.ms
    }

    #[botzilla::handler]
    fn disorder(&mut self, _: Disorder) -> u64 {
        self.disorder
    }

    #[botzilla::handler]
    fn ping(&mut self, msg: Ping) -> u64 {
        msg.n
    }
}

#[botzilla::message(reply = u64)]
struct Ping {
    n: u64,
}

pub(super) async fn source() -> botzilla::Result<()> {
    let node = Node::start(NodeConfig::from_settings(settings())?).await?;
    node.spawn("source", Source::default).await?;
    let address = node.address().map(|it| it.to_string()).unwrap_or_default();
    say(&format!("ready {} {address}", node.id()));
    answer(&node, String::new).await;
    Ok(())
}

/// What has become of all that was sent and was to come.
#[derive(Default)]
struct Tally {
    asks: u64,
    naps: u64,
    tells: u64,
    items: u64,
    missed: u64,
    /// The first that wasn't as it should be.
    bad: Option<String>,
}

type Shared = Arc<Mutex<Tally>>;

fn note<T, E: std::fmt::Display>(
    tally: &Shared,
    what: &str,
    outcome: Result<T, E>,
    count: impl FnOnce(&mut Tally),
) {
    let mut tally = tally.lock().unwrap();
    match outcome {
        Ok(_) => count(&mut tally),
        Err(error) => {
            let _ = tally.bad.get_or_insert_with(|| format!("{what}: {error}"));
        }
    }
}

pub(super) async fn sink() -> botzilla::Result<()> {
    let node = Node::start(NodeConfig::from_settings(settings())?).await?;
    let tally = Shared::default();
    let source = || node.component("source");
    let asks = async |_: u64| {
        let (source, mut n) = (source(), 0);
        loop {
            note(&tally, "ask", source.ask(Ping { n }).await, |tally| {
                tally.asks += 1;
            });
            n += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let tells = async |from: u64| {
        let (source, mut n) = (source(), 0);
        loop {
            let sent = source.tell(InOrder { from, n }).await;
            note(&tally, "tell", sent, |tally| tally.tells += 1);
            n += 1;
            if n % 16 == 0 {
                let flushed = source.flush().await;
                if let Some(reason) = flushed.first_failure {
                    note(&tally, "a tell's end", Err::<(), _>(reason), |_| {});
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    let naps = async {
        let source = source();
        loop {
            let slept = source.ask(Nap { ms: 700 }).await;
            note(&tally, "nap", slept, |tally| tally.naps += 1);
        }
    };
    let items = async {
        let subscribed = node.subscribe::<u64>("source/ticks").reliable().await;
        let mut ticks = subscribed.map_err(|error| error.to_string()).unwrap();
        let mut due = None;
        while let Some(item) = ticks.next().await {
            let what = "an item";
            match item {
                Ok(item) => {
                    let (seq, missed) = (item.seq(), item.missed());
                    if item.restarted() || due.is_some_and(|due| due != seq) {
                        let text = format!("{seq} came where {due:?} was due, {missed} missed");
                        note(&tally, what, Err::<(), _>(text), |_| {});
                    }
                    due = Some(seq + 1);
                    note(&tally, what, Ok::<_, String>(()), |tally| {
                        tally.items += 1;
                        tally.missed += missed;
                    });
                }
                Err(error) => note(&tally, what, Err::<(), _>(error), |_| {}),
            }
        }
    };
    say(&format!("ready {}", node.id()));
    let told = || {
        let tally = tally.lock().unwrap();
        let Tally {
            asks,
            naps,
            tells,
            items,
            missed,
            bad,
        } = &*tally;
        let bad = bad.as_deref().unwrap_or("nothing");
        format!("{asks} {naps} {tells} {items} {missed} {bad}")
    };
    tokio::select! {
        () = answer(&node, told) => {}
        _ = join_all((0..4).map(asks)) => {}
        _ = join_all((0..4).map(tells)) => {}
        () = naps => {}
        () = items => {}
    }
    Ok(())
}

// ---- the tests --------------------------------------------------------------------------------------

struct Member {
    process: Process,
    file: PathBuf,
    ready: String,
}

impl Member {
    async fn start(scratch: &Path, role: &str, registry: &str) -> Self {
        let file = scratch.join(role);
        replace(&file, OLD);
        let path = file.to_string_lossy();
        let settings = [("IT_REGISTRY", registry), ("IT_SECRET_FILE", &path)];
        let mut process = Process::start(role, &settings);
        let ready = process.says("ready").await;
        Self {
            process,
            file,
            ready,
        }
    }

    async fn asked(&mut self, order: &str, word: &str) -> String {
        self.process.order(order);
        self.process.says(word).await
    }

    async fn until_held(&mut self, ids: &str) {
        until(PATIENCE, "the file was read", async || {
            let held = self.asked("keys", "keys").await;
            if held == ids { Ok(()) } else { Err(held) }
        })
        .await;
    }

    /// What has gone well so far; fails if anything hasn't.
    async fn tally(&mut self) -> [u64; 4] {
        let said = self.asked("tally", "tally").await;
        let mut words = said.splitn(6, ' ');
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        let [asks, naps, tells, items, missed] = std::array::from_fn(|_| number());
        assert_eq!((missed, words.next()), (0, Some("nothing")), "{said}");
        [asks, naps, tells, items]
    }

    /// Until so much more of each kind has gone well.
    async fn goes_on(&mut self) {
        let before = self.tally().await;
        until(PATIENCE, "all goes on", async || {
            let now = self.tally().await;
            let more = now
                .iter()
                .zip(before)
                .all(|(now, before)| *now >= before + 2);
            if more {
                Ok(())
            } else {
                Err(format!("{before:?}, {now:?}"))
            }
        })
        .await;
    }
}

/// As `botzilla key rotate` does.
fn replace(file: &Path, text: &str) {
    let next = file.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&next, file).unwrap();
}

async fn short_lived(registry: &str, secret: &str) -> botzilla::Result<Node> {
    let config = NodeConfig::new(registry, secret)?.registry_time(seconds(5));
    Node::start(config.short_lived()).await
}

#[test]
fn a_running_robot_gets_a_new_secret_and_no_ask_fails_and_no_item_is_missing() {
    run(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut registry = Member::start(scratch.path(), "keyed-registry", "").await;
        let (_, address) = registry.ready.split_once(' ').unwrap();
        let address = address.to_owned();
        let mut source = Member::start(scratch.path(), "keyed-source", &address).await;
        let mut sink = Member::start(scratch.path(), "keyed-sink", &address).await;
        sink.goes_on().await;

        // Somebody whom nobody gives the new one.
        let stale = NodeConfig::new(&*address, OLD).unwrap();
        let stale = Node::start(stale.listen("127.0.0.1:0")).await.unwrap();
        stale.ready().await;
        let asked = stale.component("source").ask(Ping { n: 1 }).await;
        assert_eq!(asked.unwrap(), 1);
        let (id, _) = source.ready.split_once(' ').unwrap();
        let id = id.parse().unwrap();
        assert!(stale.peer(id).unwrap().connected);

        let steps = [
            (format!("{OLD}\n{NEW}\n"), "old new"),
            (format!("{NEW}\n{OLD}\n"), "new old"),
            (format!("{NEW}\n"), "new"),
        ];
        for (text, ids) in steps {
            for member in [&mut registry, &mut source, &mut sink] {
                replace(&member.file, &text);
                member.until_held(ids).await;
            }
            sink.goes_on().await;
        }
        assert_eq!(disorder(&address).await, 0);
        sink.goes_on().await;

        until(
            seconds(10),
            "who has the old one alone is out",
            async || match stale.peer(id) {
                Some(facts) if facts.connected => Err("it is connected".to_owned()),
                _ => Ok(()),
            },
        )
        .await;
        let refused = stale.component("source").ask(Ping { n: 2 }).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("no secret in common"), "{refused}");
        let refused = short_lived(&address, OLD).await.unwrap_err().to_string();
        assert!(
            refused.contains("no secret in common") && refused.contains("`old`"),
            "{refused}"
        );
        // The right id, and other bytes.
        let other = NEW.replace("HxAe", "AAAA");
        let refused = short_lived(&address, &other).await.unwrap_err().to_string();
        assert!(
            refused.contains("wrong secret") && refused.contains("`new`"),
            "{refused}"
        );
        stale.shutdown(Duration::ZERO).await;
    });
}

async fn disorder(registry: &str) -> u64 {
    let node = short_lived(registry, NEW).await.unwrap();
    let counted = node.component("source").ask(Disorder {}).await.unwrap();
    node.shutdown(Duration::ZERO).await;
    counted
}

#[test]
fn sighup_reads_the_secrets_again_when_nothing_has_told_of_a_change() {
    run(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut registry = Member::start(scratch.path(), "keyed-registry", "").await;
        // Written under another name of the same file, in another directory: nobody is told.
        let aside = scratch.path().join("aside");
        fs::create_dir(&aside).unwrap();
        fs::hard_link(&registry.file, aside.join("secret")).unwrap();
        // The link itself is a change of its kind, after which all is read.
        assert_eq!(registry.asked("reload", "").await, "read");
        fs::write(aside.join("secret"), format!("{OLD}\n{NEW}\n")).unwrap();
        registry.process.signal("-HUP");
        registry.until_held("old new").await;
        // A file that can't be used is told, and changes nothing.
        fs::write(aside.join("secret"), &NEW[..20]).unwrap();
        let kept = registry.asked("reload", "kept").await;
        assert!(
            kept.contains("instead of 32") && kept.contains("keyed-registry"),
            "{kept}"
        );
        registry.until_held("old new").await;
    });
}
