//! What a handler expects: `expect_every = "200ms", missed = stop_motors`.

use super::{args::Options, check::Place};
use crate::diag::Mistakes;

const EXAMPLES: &str = "write for example \"200ms\", \"1.5s\" or \"2min\"";

/// The longest that can be expected to be silent, in seconds: who means longer means never.
const LONGEST_S: f64 = 24.0 * 60.0 * 60.0;

pub(crate) fn check(options: &Options, place: Place, mistakes: &mut Mistakes) {
    if place == Place::Free {
        let keys = [
            options.expect_every.as_ref().map(|(key, _)| key),
            options.missed.as_ref().map(|(key, _)| key),
        ];
        for key in keys.into_iter().flatten() {
            mistakes.push(
                key,
                format!(
                    "`{key}` is for a component's handlers: move the function into an `impl` block \
                     under `#[botzilla::component]`, or leave `{key}` out"
                ),
            );
        }
        return;
    }
    match (&options.expect_every, &options.missed) {
        (Some((key, _)), None) => mistakes.push(
            key,
            "say what is to be done then: write `missed = stop_motors` beside it, the name of a \
             method `fn stop_motors(&mut self)` of this block",
        ),
        (None, Some((key, _))) => mistakes.push(
            key,
            "say how long it may be silent: write `expect_every = \"200ms\"` beside it",
        ),
        _ => {}
    }
    if let Some((_, Some(every))) = &options.expect_every
        && let Err(text) = duration(&every.value())
    {
        mistakes.push(every, text);
    }
}

/// Reads `200ms`, `1s`, `1.5s`, `2min`; nanoseconds, or what is wrong with it.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.find(|c: char| !(c.is_ascii_digit() || c == '.')) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let seconds = match unit.trim_start() {
        "ms" => 0.001,
        "s" => 1.0,
        "min" => 60.0,
        "" => return Err(format!("this has no unit; {EXAMPLES}")),
        unit => return Err(format!("there is no unit `{unit}`; {EXAMPLES}")),
    };
    let Ok(number) = number.parse::<f64>() else {
        return Err(format!("this is no time; {EXAMPLES}"));
    };
    let seconds = number * seconds;
    if !(0.001..=LONGEST_S).contains(&seconds) {
        return Err(format!(
            "this isn't between 1ms and 24 hours (1440min); {EXAMPLES}"
        ));
    }
    // A day is 10^14 of them.
    Ok((seconds * 1e9).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, nanos) in [
            ("200ms", 200_000_000),
            ("1s", 1_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0.25 s", 250_000_000),
            ("2min", 120_000_000_000),
            ("1ms", 1_000_000),
            ("1440min", 86_400_000_000_000),
        ] {
            assert_eq!(duration(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_said_with_what_would_be() {
        for (text, why) in [
            ("200", "no unit"),
            ("", "no unit"),
            ("5 parsecs", "no unit `parsecs`"),
            ("200us", "no unit `us`"),
            ("2h", "no unit `h`"),
            ("ms", "is no time"),
            ("1.2.3s", "is no time"),
            ("-1s", "no unit `-1s`"),
            ("1e3s", "no unit `e3s`"),
            ("0ms", "between 1ms"),
            ("0.5ms", "between 1ms"),
            ("1441min", "between 1ms"),
            ("99999999999999999999999999s", "between 1ms"),
        ] {
            let error = duration(text).unwrap_err();
            assert!(
                error.contains(why) && error.contains(EXAMPLES),
                "{text}: {error}"
            );
        }
    }
}
