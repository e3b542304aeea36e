//! Processes of the command line: bounded in time, killed when they are dropped.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

/// None of this takes long; a machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const SECRET: &str = "bz1:test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A command that knows of nothing but what the test tells it.
pub(crate) struct Botzilla {
    command: Command,
    stdin: Option<String>,
    /// Its working directory, without a configuration file.
    directory: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Typed behind `botzilla`, words separated by blanks.
pub(crate) fn botzilla(words: &str) -> Botzilla {
    Botzilla::new().words(words)
}

impl Botzilla {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_botzilla"));
        command.current_dir(&directory).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BOTZILLA") {
                command.env_remove(name);
            }
        }
        command
            .env_remove("RUST_LOG")
            .env("BOTZILLA_SECRET", SECRET);
        Self {
            command,
            stdin: None,
            directory,
        }
    }

    pub(crate) fn words(mut self, words: &str) -> Self {
        self.command.args(words.split_whitespace());
        self
    }

    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.command.stdin(Stdio::piped());
        self.stdin = Some(text.to_owned());
        self
    }

    /// A file in its working directory, which nobody else can read.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        self
    }

    pub(crate) fn at(self, registry: &Registry) -> Self {
        self.env("BOTZILLA_REGISTRY", &registry.address)
    }

    /// With stdout where it leads to.
    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Running {
        self.command.stdout(stdout);
        self.spawn()
    }

    pub(crate) fn start(mut self) -> Running {
        self.command.stdout(Stdio::piped());
        self.spawn()
    }

    pub(crate) fn run(self) -> Ended {
        self.start().end()
    }

    /// Its standard output, if it ends well.
    pub(crate) fn ok(self) -> String {
        let ended = self.run();
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.out
    }

    /// The same as JSON, of one line.
    pub(crate) fn json(self) -> Value {
        one_line_of_json(&self.arg("--json").ok())
    }

    fn spawn(mut self) -> Running {
        let mut child = self.command.stderr(Stdio::piped()).spawn().unwrap();
        if let Some(text) = self.stdin {
            // The process may end without having read it.
            let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        }
        Running {
            child,
            read: None,
            read_errors: None,
            _directory: self.directory,
        }
    }
}

pub(crate) fn one_line_of_json(text: &str) -> Value {
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

/// A process; killed if it is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// Its standard output, if something of it was read already.
    read: Option<BufReader<ChildStdout>>,
    /// The same of its standard error.
    read_errors: Option<BufReader<ChildStderr>>,
    _directory: TempDir,
}

impl Running {
    /// The next line of its standard output, as soon as it is there.
    pub(crate) fn line(&mut self) -> String {
        let out = self.read.take();
        let out = out.unwrap_or_else(|| BufReader::new(self.child.stdout.take().unwrap()));
        let (line, out) = line_of(out);
        self.read = Some(out);
        line
    }

    /// The next line of its standard error that has this in it.
    pub(crate) fn error_line(&mut self, part: &str) -> String {
        loop {
            let err = self.read_errors.take();
            let err = err.unwrap_or_else(|| BufReader::new(self.child.stderr.take().unwrap()));
            let (line, err) = line_of(err);
            self.read_errors = Some(err);
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Nobody reads its standard output any more.
    pub(crate) fn close_output(&mut self) {
        self.read = None;
    }

    /// As Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    /// As `kill` does.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(kill.success());
    }

    pub(crate) fn end(mut self) -> Ended {
        let out = match self.read.take() {
            Some(rest) => Some(in_time(move || all_of(rest))),
            None => {
                let out = self.child.stdout.take();
                out.map(|out| in_time(move || all_of(out)))
            }
        };
        let err = match self.read_errors.take() {
            Some(rest) => Some(in_time(move || all_of(rest))),
            None => {
                let err = self.child.stderr.take();
                err.map(|err| in_time(move || all_of(err)))
            }
        };
        let [out, err] = [out, err].map(|text| {
            text.map(|text| text.recv_timeout(PATIENCE).expect("the command hangs"))
                .unwrap_or_default()
        });
        // Both ends are closed: it has ended or is about to.
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Ended { code, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line_of<R: BufRead + Send + 'static>(mut from: R) -> (String, R) {
    let line = in_time(move || {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        (line, from)
    });
    let (line, from) = line.recv_timeout(PATIENCE).expect("the command hangs");
    assert!(!line.is_empty(), "the command has ended");
    (line, from)
}

fn all_of(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    result
}

/// A registry as a process of its own.
pub(crate) struct Registry {
    pub(crate) address: String,
    pub(crate) first_line: String,
    pub(crate) running: Running,
}

impl Registry {
    /// One that gives names at once.
    pub(crate) fn fresh() -> Self {
        Self::start(botzilla("registry --listen 127.0.0.1:0 --fresh --json"))
    }

    pub(crate) fn start(command: Botzilla) -> Self {
        let mut running = command.start();
        let first_line = running.line();
        running.close_output();
        let address = match serde_json::from_str::<Value>(&first_line) {
            Ok(json) => json["listening"].as_str().unwrap().to_owned(),
            Err(_) => {
                let mut words = first_line.split([' ', ',']);
                words
                    .find(|word| word.contains(':'))
                    .expect("an address in the first line")
                    .to_owned()
            }
        };
        Self {
            address,
            first_line,
            running,
        }
    }
}
