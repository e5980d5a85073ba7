//! A flag for every option of a node, made from the core's one table: nothing here knows an option by name.

use std::path::Path;

use ck_core::{OptionDefault, OptionSpec, Options, options_table};
use clap::{Arg, ArgMatches, Command};

use crate::error::Result;

/// The options that were given as flags, in the table's order: the option's name and its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OptionFlags {
    given: Vec<(&'static str, String)>,
}

impl OptionFlags {
    /// A node's options: defaults, then the file, then the environment, then the flags.
    pub(crate) fn resolve(&self, file: Option<&Path>) -> Result<Options> {
        let mut options = match file {
            Some(path) => Options::from_file(path)?,
            None => Options::default(),
        };
        options.apply_env()?;
        for (name, value) in &self.given {
            options.set(name, value)?;
        }
        options.validate()?;
        Ok(options)
    }

    fn read(matches: &ArgMatches) -> Self {
        let given = options_table().iter().filter_map(|spec| {
            let values: Vec<&str> = matches
                .get_many::<String>(spec.name)?
                .map(String::as_str)
                .collect();
            // Lists and maps may be given in several flags as well as in one.
            Some((spec.name, values.join(",")))
        });
        OptionFlags {
            given: given.collect(),
        }
    }
}

impl clap::FromArgMatches for OptionFlags {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        Ok(OptionFlags::read(matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = OptionFlags::read(matches);
        Ok(())
    }
}

impl clap::Args for OptionFlags {
    fn augment_args(command: Command) -> Command {
        let mut command = command.next_help_heading("Node options");
        for spec in options_table() {
            command = command.arg(flag(spec));
        }
        command.next_help_heading("Options")
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(spec: &'static OptionSpec) -> Arg {
    let kind = spec.kind.type_name();
    let several = matches!(kind, "list" | "map");
    let aliases = spec
        .aliases
        .iter()
        .filter(|alias| alias.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    let mut facts = vec![spec.kind.bounds()];
    facts.push(match spec.default {
        OptionDefault::Required => "required".to_string(),
        OptionDefault::None => "default: none".to_string(),
        OptionDefault::Value(text) | OptionDefault::Derived(text) => format!("default: {text}"),
    });
    facts.push(format!("env: {}", spec.env.join(", ")));
    Arg::new(spec.name)
        .long(dashed(spec.name))
        .aliases(aliases.map(|alias| dashed(alias)))
        .value_name(kind.to_uppercase())
        .action(if several {
            clap::ArgAction::Append
        } else {
            clap::ArgAction::Set
        })
        .allow_hyphen_values(false)
        .hide_default_value(true)
        .help(spec.help)
        .long_help(format!("{}\n[{}]", spec.help, facts.join("; ")))
}

/// `health_check.interval` as a flag is `--health-check-interval`.
fn dashed(name: &str) -> String {
    name.replace(['_', '.'], "-")
}
