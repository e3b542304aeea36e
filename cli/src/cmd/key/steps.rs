//! What the steps make of a file's text. Comments and blank lines stay where they are.

use std::path::Path;

use botzilla_wire::{Keyring, Secret, keyring::lines};
use zeroize::Zeroizing;

use crate::error::CliError;

/// The text with one more secret, as the last line.
pub(super) fn add(text: &str, secret: &Secret) -> Zeroizing<String> {
    let line = secret.to_text();
    let mut all = Zeroizing::new(String::with_capacity(text.len() + line.len() + 2));
    all.push_str(text);
    if !text.is_empty() && !text.ends_with('\n') {
        all.push('\n');
    }
    all.push_str(&line);
    all.push('\n');
    all
}

/// The text with this secret before all others.
pub(super) fn prefer(text: &str, keyring: &Keyring, id: &str) -> Zeroizing<String> {
    let (Some(from), Some((to, _))) = (line_of(text, keyring, id), lines(text).next()) else {
        return Zeroizing::new(text.to_owned());
    };
    let all: Vec<&str> = text.lines().collect();
    let mut order: Vec<usize> = (1..=all.len()).filter(|line| *line != from).collect();
    let at = order.iter().position(|line| *line == to).unwrap_or(0);
    order.insert(if from == to { from - 1 } else { at }, from);
    join(order.iter().filter_map(|line| all.get(line - 1).copied()))
}

/// The text without this secret.
pub(super) fn remove(text: &str, keyring: &Keyring, id: &str) -> Zeroizing<String> {
    let gone = line_of(text, keyring, id);
    let left = text.lines().enumerate();
    join(left.filter_map(|(index, line)| (Some(index + 1) != gone).then_some(line)))
}

fn line_of(text: &str, keyring: &Keyring, id: &str) -> Option<usize> {
    let mut found = keyring.ids().zip(lines(text));
    let (_, (line, _)) = found.find(|(it, _)| *it == id)?;
    Some(line)
}

fn join<'a>(lines: impl Iterator<Item = &'a str> + Clone) -> Zeroizing<String> {
    let length = lines.clone().map(|line| line.len() + 1).sum();
    let mut text = Zeroizing::new(String::with_capacity(length));
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Which one `switch` means.
pub(super) fn to_prefer(
    keyring: &Keyring,
    which: Option<&str>,
    file: &Path,
) -> Result<String, CliError> {
    if let Some(id) = which {
        return known(keyring, id, file);
    }
    match keyring.ids().skip(1).last() {
        Some(id) => Ok(id.to_owned()),
        None => Err(CliError::answered_no(
            "nothing_to_switch_to",
            format!(
                "{} has one secret, so there is none to switch to; `botzilla key rotate {} add` comes first, on all \
                 machines",
                file.display(),
                file.display()
            ),
        )),
    }
}

/// Which one `drop` means.
pub(super) fn to_drop(
    keyring: &Keyring,
    which: Option<&str>,
    file: &Path,
) -> Result<String, CliError> {
    let shown = file.display();
    let preferred = keyring.ids().next().unwrap_or_default();
    let others: Vec<&str> = keyring.ids().skip(1).collect();
    let no = |kind, text| Err(CliError::answered_no(kind, text));
    match (which, &*others) {
        (_, []) => no(
            "only_one",
            format!(
                "{shown} has no secret but `{preferred}`, which the robot needs; nothing is dropped"
            ),
        ),
        (Some(id), _) if id == preferred => no(
            "preferred",
            format!(
                "`{id}` is the one that {shown} prefers; `botzilla key rotate {shown} switch` comes first, on all \
                 machines"
            ),
        ),
        (Some(id), _) => known(keyring, id, file),
        (None, [one]) => Ok((*one).to_owned()),
        (None, several) => no(
            "which",
            format!(
                "{shown} has {} secrets besides `{preferred}`: say which one to drop, `{}`",
                several.len(),
                several.join("` or `")
            ),
        ),
    }
}

fn known(keyring: &Keyring, id: &str, file: &Path) -> Result<String, CliError> {
    if keyring.get(id).is_some() {
        return Ok(id.to_owned());
    }
    let ids: Vec<&str> = keyring.ids().collect();
    Err(CliError::answered_no(
        "no_such_key",
        format!(
            "{} has no secret with the id {id:?}; it has `{}`",
            file.display(),
            ids.join("`, `")
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "bz1:one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "bz1:two:HxAeDx0OHA0bDBoLGQoYCRcIFgcVBhQFEwQSAxECEAE=";

    #[test]
    fn comments_stay_and_secrets_change_places() {
        let text = format!("# ours\n\n{ONE}\n# new\n{TWO}");
        let keyring = Keyring::parse(&text).unwrap();
        let switched = prefer(&text, &keyring, "two");
        assert_eq!(*switched, format!("# ours\n\n{TWO}\n{ONE}\n# new\n"));
        assert_eq!(*prefer(&text, &keyring, "one"), format!("{text}\n"));
        let left = remove(&text, &keyring, "one");
        assert_eq!(*left, format!("# ours\n\n# new\n{TWO}\n"));
        let secret = Secret::parse(TWO).unwrap();
        assert_eq!(*add(ONE, &secret), format!("{ONE}\n{TWO}\n"));
        assert_eq!(*add("", &secret), format!("{TWO}\n"));
    }
}
