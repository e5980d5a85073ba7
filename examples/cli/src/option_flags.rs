//! A flag for every option of a node, made from the core's one table: nothing here knows an option by name.

use std::path::Path;

use ck_core::{OptionDefault, OptionSpec, Options, options_table};
use clap::{Arg, ArgMatches, Command};

use crate::error::{CliError, Result};

/// The options that were given as flags, in the table's order: the option's name and its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OptionFlags {
    given: Vec<(&'static str, String)>,
}

impl OptionFlags {
    /// A node's options: defaults, then the file, then the environment, then the flags.
    pub(crate) fn resolve(&self, file: Option<&Path>) -> Result<Options> {
        self.resolve_with(file, Options::apply_env)
    }

    fn resolve_with(
        &self,
        file: Option<&Path>,
        environment: impl FnOnce(&mut Options) -> ck_core::Result<()>,
    ) -> Result<Options> {
        let mut options = match file {
            // A file that cannot be read is as wrong as what may be in it.
            Some(path) => {
                Options::from_file(path).map_err(|error| CliError::Usage(error.message().to_string()))?
            }
            None => Options::default(),
        };
        environment(&mut options)?;
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

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;

    fn command() -> Command {
        OptionFlags::augment_args(Command::new("serve"))
    }

    fn flags(line: &[&str]) -> OptionFlags {
        OptionFlags::read(&command().get_matches_from([&["serve"], line].concat()))
    }

    #[test]
    fn every_option_of_the_table_is_a_flag_that_sets_it() {
        let sample = |spec: &OptionSpec| match spec.kind.type_name() {
            "address" => "10.0.0.5:7000".to_string(),
            "list" => "a:1,b:2".to_string(),
            "map" => "x=:9080".to_string(),
            "boolean" => "true".to_string(),
            "integer" => "7".to_string(),
            "duration" => "1s".to_string(),
            "choice" => spec.kind.bounds().split(", ").last().unwrap().to_string(),
            _ => "some".to_string(),
        };
        for spec in options_table() {
            let value = sample(spec);
            let mut expected = Options::default();
            expected.set(spec.name, &value).unwrap();
            let given = flags(&[&format!("--{}", dashed(spec.name)), &value]).given;
            assert_eq!(given, [(spec.name, value)]);
            let mut options = Options::default();
            options.set(given[0].0, &given[0].1).unwrap();
            assert_eq!(options, expected, "{}", spec.name);
        }
    }

    #[test]
    fn lists_may_be_given_in_several_flags_and_under_their_other_names() {
        let given = flags(&["--join-addr", "a:1", "--known-nodes", "b:2,c:3"]);
        assert_eq!(given.given, [("join_addrs", "a:1,b:2,c:3".to_string())]);
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.json");
        let json = r#"{"node_id": "file", "http_addr": ":1", "weight": 1, "zone": "file"}"#;
        std::fs::write(&file, json).unwrap();
        let variables = |name: &str| match name {
            "HTTP_ADDR" => Some(":2".to_string()),
            "WEIGHT" => Some("2".to_string()),
            _ => None,
        };
        let environment = |options: &mut Options| options.apply_env_with(variables);
        let options = flags(&["--weight", "3"])
            .resolve_with(Some(&file), environment)
            .unwrap();
        assert_eq!(
            (options.node_id.as_str(), options.http_addr.as_str()),
            ("file", ":2")
        );
        assert_eq!((options.weight, options.zone.as_deref()), (3, Some("file")));
    }

    #[test]
    fn what_is_missing_or_wrong_is_a_usage_error_that_names_the_option() {
        let resolve = |line: &[&str]| {
            flags(line)
                .resolve_with(None, |_| Ok(()))
                .unwrap_err()
                .to_string()
        };
        assert!(resolve(&[]).contains("node_id is required"));
        let error = resolve(&["--node-id", "a", "--http-addr", ":0", "--max-voters", "99"]);
        assert!(
            error.contains("max_voters") && error.contains("1 to 15"),
            "{error}"
        );
    }
}
