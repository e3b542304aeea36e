//! Secrets in files: made, listed, replaced step by step.

mod file;
mod steps;

use std::{fmt, io::Read, path::Path};

use botzilla_wire::{
    Keyring, Secret,
    secret::{SECRET_LEN, SecretError},
};
use zeroize::Zeroizing;

use self::file::KeyFile;
use crate::{
    args::key::Step,
    error::CliError,
    output::{Held, Report},
    plan::KeyPlan,
};

/// No line of a secret is longer.
const LONGEST: u64 = 4096;

pub(crate) fn run(plan: KeyPlan) -> Result<Report, CliError> {
    match plan {
        KeyPlan::New { id, file: None } => generate(id.as_deref()),
        KeyPlan::New {
            id,
            file: Some(file),
        } => new(id.as_deref(), &file),
        KeyPlan::List { file } => Ok(Report::Keys {
            held: held(&botzilla::read_secret_file(&file)?),
            file,
        }),
        KeyPlan::Rotate {
            file,
            step,
            which,
            id,
        } => rotate(&file, step, which.as_deref(), id.as_deref()),
    }
}

/// What `botzilla keygen` does.
fn generate(id: Option<&str>) -> Result<Report, CliError> {
    let secret = make(id)?;
    Ok(Report::Key {
        id: secret.id().to_owned(),
        secret: secret.to_text(),
    })
}

fn new(id: Option<&str>, path: &Path) -> Result<Report, CliError> {
    let secret = make(id)?;
    let created = !path.try_exists().unwrap_or(true);
    let keyring = if created {
        KeyFile::create(path, &secret)?;
        Keyring::from(secret.clone())
    } else {
        let mut file = KeyFile::open(path)?;
        file.change(|text| Ok(steps::add(text, &secret)))?
    };
    Ok(Report::KeyAdded {
        file: path.to_owned(),
        id: secret.id().to_owned(),
        created,
        held: held(&keyring),
    })
}

fn rotate(
    path: &Path,
    step: Step,
    which: Option<&str>,
    id: Option<&str>,
) -> Result<Report, CliError> {
    let name = match step {
        Step::Add => "add",
        Step::Switch => "switch",
        Step::Drop => "drop",
    };
    if id.is_some() && (step != Step::Add || which.is_some()) {
        return Err(CliError::not_asked(
            "--id names the secret that `add` makes; give the id of one that is there without it",
        ));
    }
    // Before the file is locked: whoever types it takes a while.
    let given = match (step, which) {
        (Step::Add, Some("-")) => Some(from_stdin()?),
        (Step::Add, Some(other)) => {
            return Err(CliError::not_asked(format!(
                "`add {other}` isn't known: `add` makes a secret (--id {other} names it), and `add -` reads one \
                 from stdin"
            )));
        }
        _ => None,
    };
    let mut file = KeyFile::open(path)?;
    let before = file.keyring()?;
    let (id, secret) = match step {
        Step::Add => {
            let secret = match &given {
                Some(secret) => secret.clone(),
                None => make(id)?,
            };
            let shown = given.is_none().then(|| secret.to_text());
            // Said twice is no mistake: the step may be repeated on all machines.
            if before.get(secret.id()) != Some(&secret) {
                file.change(|text| Ok(steps::add(text, &secret)))?;
            }
            (secret.id().to_owned(), shown)
        }
        Step::Switch => {
            let id = steps::to_prefer(&before, which, path)?;
            file.change(|text| Ok(steps::prefer(text, &before, &id)))?;
            (id, None)
        }
        Step::Drop => {
            let id = steps::to_drop(&before, which, path)?;
            file.change(|text| Ok(steps::remove(text, &before, &id)))?;
            (id, None)
        }
    };
    let after = file.keyring()?;
    Ok(Report::KeyStep {
        file: path.to_owned(),
        step: name,
        id,
        secret,
        changed: !before.ids().eq(after.ids()),
        held: held(&after),
    })
}

fn held(keyring: &Keyring) -> Vec<Held> {
    let secrets = keyring.secrets().iter().enumerate();
    let held = secrets.map(|(at, secret)| Held {
        id: secret.id().to_owned(),
        preferred: at == 0,
        passphrase: secret.is_passphrase(),
    });
    held.collect()
}

fn make(id: Option<&str>) -> Result<Secret, CliError> {
    let id = match id {
        Some(id) => id.to_owned(),
        None => format!(
            "k{:06x}",
            getrandom::u32().map_err(no_random)? & 0x00ff_ffff
        ),
    };
    let mut bytes = Zeroizing::new([0; SECRET_LEN]);
    getrandom::fill(&mut *bytes).map_err(no_random)?;
    Secret::from_bytes(&id, *bytes).map_err(|_| {
        CliError::not_asked(format!(
            "--id {id:?} isn't 1 to 32 characters of A-Z a-z 0-9 _ -"
        ))
    })
}

fn from_stdin() -> Result<Secret, CliError> {
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize));
    let read = std::io::stdin()
        .lock()
        .take(LONGEST)
        .read_to_string(&mut text);
    read.map_err(|error| {
        CliError::not_asked(format!(
            "stdin can't be read ({error}); give it the line that `add` has shown"
        ))
    })?;
    let one = match text.trim().lines().count() {
        0 => Err(SecretError::Empty),
        1 => Secret::parse(&text),
        _ => {
            return Err(CliError::not_asked(
                "what stdin has is more than one line; give it the line that `add` has shown",
            ));
        }
    };
    one.map_err(|error| CliError::not_asked(format!("what stdin has: {error}")))
}

fn no_random(error: impl fmt::Display) -> CliError {
    CliError::not_asked(format!(
        "the system gives no random bytes ({error}); make the secret on another machine"
    ))
}
