//! Reads a policy, and asks it what it would say. Nothing is connected with.

use botzilla::policy::Policy;

use crate::{
    error::CliError,
    output::{Decided, Report},
    plan::policy::PolicyPlan,
};

pub(crate) fn run(plan: PolicyPlan) -> Result<Report, CliError> {
    let PolicyPlan { file, question } = plan;
    let policy = Policy::from_file(&file)?;
    let decided = question.and_then(|question| {
        let request = question.request()?;
        let decision = policy.decide(&question.key, &request);
        let rule = decision.rule();
        Some(Decided {
            allowed: decision.is_allowed(),
            rule: rule.map(|(line, pattern)| (line, pattern.to_owned())),
            why: decision.to_string(),
            question,
        })
    });
    Ok(Report::Policy {
        file: file.display().to_string(),
        policy,
        decided,
    })
}
