//! The simulated robot's ride.

use std::{fs::OpenOptions, path::Path};

use botzilla_examples::demo::{self, DemoError, DemoOptions, Event};

use crate::{
    error::{CliError, with_causes},
    output::Report,
    plan::DemoPlan,
};

pub(crate) async fn run(plan: DemoPlan, on: impl FnMut(Event)) -> Result<Report, CliError> {
    let mut options = DemoOptions::default();
    options.robot.seed = plan.seed;
    // Known before the ride, not after it.
    writable(&plan.svg)?;
    options.picture = Some(plan.svg);
    if let Some(deadline) = plan.deadline {
        options.deadline = deadline;
    }
    match demo::run(&options, on).await {
        Ok(report) => Ok(Report::Demo(Box::new(report))),
        Err(error @ DemoError::Picture { .. }) => Err(CliError::not_asked(format!(
            "{}; give another place with --svg",
            with_causes(&error)
        ))),
        Err(error) => Err(CliError::answered_no("demo", with_causes(&error))),
    }
}

fn writable(path: &Path) -> Result<(), CliError> {
    let is_new = !path.exists();
    let opened = OpenOptions::new().create(true).append(true).open(path);
    if opened.is_ok() && is_new {
        // A ride that fails leaves no empty picture; if it can't be removed, that does no harm.
        let _ = std::fs::remove_file(path);
    }
    opened.map(drop).map_err(|error| {
        CliError::not_asked(format!(
            "the picture {} can't be written ({error}); give another place with --svg",
            path.display()
        ))
    })
}
