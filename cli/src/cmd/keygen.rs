//! Makes a secret.

use std::fmt;

use botzilla_wire::secret::{SECRET_LEN, Secret};

use crate::{error::CliError, output::Report};

pub(crate) fn run(id: Option<&str>) -> Result<Report, CliError> {
    let id = match id {
        Some(id) => id.to_owned(),
        None => format!(
            "k{:06x}",
            getrandom::u32().map_err(no_random)? & 0x00ff_ffff
        ),
    };
    let mut bytes = [0; SECRET_LEN];
    getrandom::fill(&mut bytes).map_err(no_random)?;
    let secret = Secret::from_bytes(&id, bytes).map_err(|_| {
        CliError::not_asked(format!(
            "--id {id:?} isn't 1 to 32 characters of A-Z a-z 0-9 _ -"
        ))
    })?;
    Ok(Report::Key {
        id,
        secret: secret.to_text().to_string(),
    })
}

fn no_random(error: impl fmt::Display) -> CliError {
    CliError::not_asked(format!(
        "the system gives no random bytes ({error}); make the secret on another machine"
    ))
}
