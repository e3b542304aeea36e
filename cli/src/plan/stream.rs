//! What is meant by `botzilla stream ..`.

use std::{fmt, time::Duration};

use botzilla_wire::ident::Name;
use serde_json::Value;

use super::{Longest, json, name};
use crate::{
    args::stream::{Echo, Measure, Publish, Subscribed},
    error::CliError,
};

/// `component/stream`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamName {
    pub(crate) component: Name,
    pub(crate) stream: String,
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.component, self.stream)
    }
}

/// A command that goes on for a while.
#[derive(Debug)]
pub(crate) struct LivePlan {
    pub(crate) verb: Live,
    /// For how long, if that was said.
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug)]
pub(crate) enum Live {
    Echo(EchoPlan),
    Measure { what: Wanted, figure: Figure },
    Publish(PublishPlan),
}

/// What is subscribed to.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// A stream's name or a pattern.
    pub(crate) selector: String,
    pub(crate) count: Option<u64>,
    pub(crate) reliable: bool,
    /// How many items may wait; none: as many as the publisher says.
    pub(crate) depth: Option<u32>,
    pub(crate) keep_last: u32,
    pub(crate) at_most: Option<f64>,
}

#[derive(Debug)]
pub(crate) struct EchoPlan {
    pub(crate) what: Wanted,
    pub(crate) fields: Vec<Field>,
    pub(crate) csv: bool,
    pub(crate) whole: bool,
}

#[derive(Debug)]
pub(crate) struct PublishPlan {
    pub(crate) name: StreamName,
    pub(crate) item: Value,
    /// The time between two items; none: as soon as somebody listens.
    pub(crate) every: Option<Duration>,
    /// None: without end.
    pub(crate) count: Option<u64>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    Rate,
    Bytes,
    Age,
}

/// The way to a part of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) text: String,
    pub(crate) steps: Vec<String>,
}

impl Field {
    /// Reads `a.b[0].c`.
    pub(crate) fn parse(text: &str) -> Result<Self, CliError> {
        let steps: Vec<String> = text
            .split(['.', '['])
            .map(|step| step.strip_suffix(']').unwrap_or(step).to_owned())
            .collect();
        if steps.iter().any(String::is_empty) {
            return Err(CliError::not_asked(format!(
                "--field {text:?} is no way to a part of an item; write for example pose.x_m or \
                 'ranges_m[0]'"
            )));
        }
        let text = text.to_owned();
        Ok(Self { text, steps })
    }

    /// The part of an item that it leads to.
    pub(crate) fn of<'a>(&self, item: &'a Value) -> Option<&'a Value> {
        let step = |value: &'a Value, step: &String| match value {
            Value::Object(fields) => fields.get(step),
            Value::Array(elements) => elements.get(step.parse::<usize>().ok()?),
            _ => None,
        };
        self.steps.iter().try_fold(item, step)
    }
}

pub(crate) fn stream_name(text: &str) -> Result<StreamName, CliError> {
    let bad = |reason: &str| {
        CliError::not_asked(format!(
            "{text:?} {reason}; a stream is named component/stream, as `botzilla stream list` shows \
             them"
        ))
    };
    if text.contains('*') || text.starts_with("group:") {
        return Err(bad("is a pattern, where one stream is meant"));
    }
    let (component, stream) = text
        .rsplit_once('/')
        .ok_or_else(|| bad("names no stream"))?;
    if component.is_empty() || stream.is_empty() {
        return Err(bad("names no stream"));
    }
    name(stream)?;
    Ok(StreamName {
        component: name(component)?,
        stream: stream.to_owned(),
    })
}

/// What can't be a pattern either is refused by the subscription itself.
fn wanted(what: Subscribed) -> Result<Wanted, CliError> {
    let is_pattern = what.name.contains('*') || what.name.starts_with("group:");
    if !is_pattern {
        stream_name(&what.name)?;
    }
    Ok(Wanted {
        selector: what.name,
        count: what.count,
        reliable: what.reliable,
        depth: what.depth,
        keep_last: 0,
        at_most: None,
    })
}

pub(super) fn echo(echo: Echo) -> Result<Live, CliError> {
    let mut what = wanted(echo.what)?;
    what.keep_last = echo.keep_last;
    what.at_most = echo.at_most;
    let fields = echo.fields.iter().map(|text| Field::parse(text));
    Ok(Live::Echo(EchoPlan {
        what,
        fields: fields.collect::<Result<_, _>>()?,
        csv: echo.csv,
        whole: echo.whole,
    }))
}

pub(super) fn measure(measure: Measure, figure: Figure) -> Result<Live, CliError> {
    let what = wanted(measure.what)?;
    Ok(Live::Measure { what, figure })
}

pub(super) fn publish(publish: Publish) -> Result<Live, CliError> {
    let name = stream_name(&publish.name)?;
    let item = json(Some(publish.payload), Longest::item())?.unwrap_or_default();
    let every = publish.rate.map(|hz| Duration::from_secs_f64(1.0 / hz));
    let once = every.is_none().then_some(1);
    Ok(Live::Publish(PublishPlan {
        name,
        item,
        every,
        count: publish.count.or(once),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_s_name_is_what_stands_behind_the_last_slash() {
        let name = stream_name("arm/left/pose").unwrap();
        assert_eq!((&*name.component, &*name.stream), ("arm/left", "pose"));
        assert_eq!(name.to_string(), "arm/left/pose");
        for text in [
            "lidar",
            "/scan",
            "lidar/",
            "*/scan",
            "group:base/scan",
            "a b/c",
        ] {
            assert!(stream_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_field_leads_through_objects_and_lists() {
        let item = json!({"pose": {"x_m": 1.5}, "ranges_m": [3, {"far": true}]});
        for (path, part) in [
            ("pose.x_m", Some(json!(1.5))),
            ("ranges_m[0]", Some(json!(3))),
            ("ranges_m.1.far", Some(json!(true))),
            ("ranges_m[1].far", Some(json!(true))),
            ("ranges_m[2]", None),
            ("pose.y_m", None),
            ("pose.x_m.z", None),
        ] {
            let field = Field::parse(path).unwrap();
            assert_eq!(field.of(&item), part.as_ref(), "{path}");
        }
        for path in ["", ".", "a..b", "a[]", "[0]"] {
            assert!(Field::parse(path).is_err(), "{path}");
        }
    }
}
