//! A benchmark binary that starts itself again as a server.

use std::{
    io::{self, BufRead, BufReader},
    process::{Child, Command, Stdio},
};

const ROLE: &str = "BOTZILLA_BENCH_ROLE";

/// Where processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// All on the first core: latency then measures work, not the waking of an idle core.
    One,
    /// Wherever the system puts them.
    Any,
}

/// A server in a process of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// What it said about itself: where it listens.
    pub address: String,
}

/// The role that this process was started for; `None` in the benchmark itself.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Starts this binary as a server and waits for its first line.
pub fn serve(role: &str, cores: Cores) -> io::Result<Server> {
    let this = std::env::current_exe()?;
    let mut command = match cores {
        Cores::One => {
            let mut command = Command::new("taskset");
            command.args(["-c", "0"]).arg(this);
            command
        }
        Cores::Any => Command::new(this),
    };
    let mut child = command
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no stdout"))?;
    let mut address = String::new();
    BufReader::new(stdout).read_line(&mut address)?;
    Ok(Server {
        child,
        address: address.trim().to_owned(),
    })
}

/// Puts this process on the first core, or back on all.
pub fn pin(cores: Cores) -> io::Result<()> {
    let list = match cores {
        Cores::One => "0".to_owned(),
        Cores::Any => {
            let all = std::thread::available_parallelism()?.get().max(2) - 1;
            format!("0-{all}")
        }
    };
    let pid = std::process::id().to_string();
    let status = Command::new("taskset")
        .args(["-a", "-cp", &list, &pid])
        .stdout(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other("taskset failed"))
    }
}

/// Ends this process when the one that started it has gone.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let mut line = String::new();
        drop(io::stdin().read_line(&mut line));
        std::process::exit(0);
    });
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
