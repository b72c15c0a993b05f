//! `difftest rules` and `difftest golden`.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use contextvars_difftest::{golden, save};
use contextvars_spec::{Rule, load_trace};

use super::Ended;

pub(crate) fn rules(paths: &[PathBuf]) -> Ended {
    let mut exercised = Vec::new();
    for file in save::find(paths)? {
        let trace = load_trace(&file)?;
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        exercised.push((name, golden::exercised(&trace.steps)));
    }
    let mut out = stdout().lock();
    for &rule in Rule::ALL {
        let traces: Vec<_> = exercised.iter().filter(|(_, rules)| rules.contains(rule)).map(|(name, _)| name.as_str()).collect();
        writeln!(out, "{:<11} {}", rule.id(), rule.title())?;
        writeln!(out, "            {} traces: {}", traces.len(), if traces.is_empty() { "none".to_owned() } else { traces.join(", ") })?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn golden(folder: &Path) -> Ended {
    let mut out = stdout().lock();
    let mut missed = false;
    for &rule in Rule::ALL {
        let path = save::path_of(folder, rule.id());
        if path.exists() {
            continue;
        }
        match golden::distil(rule) {
            Some(trace) => {
                save::write(&path, &trace)?;
                writeln!(out, "wrote {}", path.display())?;
            }
            None => {
                writeln!(out, "no generated trace exercises {rule}; write {} by hand", path.display())?;
                missed = true;
            }
        }
    }
    Ok(ExitCode::from(u8::from(missed)))
}
