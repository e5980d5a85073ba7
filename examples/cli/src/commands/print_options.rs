//! `serve --print-options`: each option, its value, and where that came from.

use clusterkit::{OptionDefault, options_table};
use serde::Serialize;

use crate::error::Result;
use crate::option_flags::{Resolved, Source};
use crate::output::{Align, Cell, Out, Table, Tone};

/// One option as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: &'static str,
    value: String,
    source: String,
}

pub(super) fn print_options(resolved: &Resolved, out: &mut Out) -> Result<()> {
    let mut all = Vec::new();
    for spec in options_table() {
        let mut value = resolved.options.get(spec.name)?;
        let source = match resolved.sources.get(spec.name) {
            Some(Source::Flag) => "flag".to_owned(),
            Some(Source::Environment(variable)) => format!("environment {variable}"),
            Some(Source::File) => "file".to_owned(),
            None => match spec.default {
                OptionDefault::Required => "missing".to_owned(),
                OptionDefault::None => "not set".to_owned(),
                OptionDefault::Value(_) => "default".to_owned(),
                OptionDefault::Derived(how) => {
                    // What it comes to is worked out later; how, is known.
                    if value.is_empty() {
                        value = how.to_owned();
                    }
                    "default".to_owned()
                }
            },
        };
        all.push(Shown {
            name: spec.name,
            value,
            source,
        });
    }
    if out.json {
        return out.json(&all);
    }
    let mut table = Table::new(&[
        ("OPTION", Align::Left),
        ("FROM", Align::Left),
        ("VALUE", Align::Left),
    ]);
    for shown in all {
        let tone = match shown.source.as_str() {
            "missing" => Tone::Bad,
            "default" | "not set" => Tone::Dim,
            _ => Tone::Plain,
        };
        table.row(vec![
            Cell::from(shown.name),
            Cell::new(shown.source, tone),
            Cell::new(shown.value, tone),
        ]);
    }
    out.text(table.render(out.styles))
}
