//! A flag for every option of a node, made from the core's one table: nothing here knows an option by name.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use clusterkit::{OptionDefault, OptionSpec, Options, options_table};

use crate::error::{CliError, Result};

/// The options that were given as flags, in the table's order: the option's name and its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OptionFlags {
    given: Vec<(&'static str, String)>,
}

/// A node's options, and where each of them came from. They are not checked against each other yet.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The options.
    pub(crate) options: Options,
    /// What set an option, by the option's name. Nothing did where there is no entry.
    pub(crate) sources: BTreeMap<String, Source>,
}

/// What set an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A flag.
    Flag,
    /// This environment variable.
    Environment(&'static str),
    /// The file of `--config`.
    File,
}

impl OptionFlags {
    /// A node's options: the flags, before the environment, before the file, before the defaults. What is overridden is
    /// not looked at.
    pub(crate) fn resolve(&self, file: Option<&Path>) -> Result<Resolved> {
        self.resolve_with(file, Options::apply_env_below)
    }

    fn resolve_with(
        &self,
        file: Option<&Path>,
        environment: impl FnOnce(&mut Options, &[&str]) -> clusterkit::Result<Vec<(&'static str, &'static str)>>,
    ) -> Result<Resolved> {
        let mut options = Options::default();
        let mut sources = BTreeMap::new();
        if let Some(path) = file {
            // A file that cannot be read is as wrong as what may be in it.
            let named = options.merge_file(path);
            let named = named.map_err(|error| CliError::Usage(error.message().to_string()))?;
            // An entry of a map counts for the map.
            let whole = |name: String| {
                let map = options_table().iter().find(|spec| {
                    let entry = name.strip_prefix(spec.name);
                    spec.kind.type_name() == "map" && entry.is_some_and(|rest| rest.starts_with('.'))
                });
                map.map_or(name, |spec| spec.name.to_string())
            };
            sources.extend(named.into_iter().map(|name| (whole(name), Source::File)));
        }
        let flags: Vec<&str> = self.given.iter().map(|(name, _)| *name).collect();
        for (name, variable) in environment(&mut options, &flags)? {
            sources.insert(name.to_string(), Source::Environment(variable));
        }
        for (name, value) in &self.given {
            options.set(name, value)?;
            sources.insert((*name).to_string(), Source::Flag);
        }
        Ok(Resolved { options, sources })
    }

    fn read(matches: &ArgMatches) -> Self {
        let given = with_flags().filter_map(|spec| {
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
        for spec in with_flags() {
            command = command.arg(flag(spec));
        }
        command.next_help_heading("Options")
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The options that have a flag. A secret has none: the command line of a process can be read by everybody on the machine.
fn with_flags() -> impl Iterator<Item = &'static OptionSpec> {
    options_table().iter().filter(|spec| !spec.is_secret())
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

    use clusterkit::OptionKind;

    use super::*;

    fn command() -> Command {
        OptionFlags::augment_args(Command::new("serve"))
    }

    fn flags(line: &[&str]) -> OptionFlags {
        OptionFlags::read(&command().get_matches_from([&["serve"], line].concat()))
    }

    #[test]
    fn every_option_of_the_table_but_a_secret_is_a_flag_that_sets_it() {
        let sample = |spec: &OptionSpec| match spec.kind.type_name() {
            "list" if spec.kind == OptionKind::CidrList => "10.0.0.0/8,::1".to_string(),
            "address" => "10.0.0.5:7000".to_string(),
            "list" => "a:1,b:2".to_string(),
            "map" => "x=:9080".to_string(),
            "boolean" => "true".to_string(),
            "integer" => "7".to_string(),
            "duration" => "1s".to_string(),
            "choice" => spec.kind.bounds().split(", ").last().unwrap().to_string(),
            _ => "some".to_string(),
        };
        assert!(options_table().iter().any(OptionSpec::is_secret));
        for spec in options_table() {
            if spec.is_secret() {
                assert!(command().get_arguments().all(|flag| flag.get_id() != spec.name));
                continue;
            }
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
        let environment = |options: &mut Options, won: &[&str]| {
            assert_eq!(won, ["weight"]);
            options.set("http_addr", ":2").unwrap();
            Ok(vec![("http_addr", "HTTP_ADDR")])
        };
        let Resolved { options, sources } = flags(&["--weight", "3"])
            .resolve_with(Some(&file), environment)
            .unwrap();
        assert_eq!(
            (options.node_id.as_str(), options.http_addr.as_str()),
            ("file", ":2")
        );
        assert_eq!((options.weight, options.zone.as_deref()), (3, Some("file")));
        let source = |name: &str| sources.get(name).copied();
        assert_eq!(source("weight"), Some(Source::Flag));
        assert_eq!(source("http_addr"), Some(Source::Environment("HTTP_ADDR")));
        assert_eq!(source("zone"), Some(Source::File));
        assert_eq!(source("data_dir"), None);
    }

    #[test]
    fn an_entry_of_a_map_in_the_file_counts_for_the_map() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.json");
        std::fs::write(
            &file,
            r#"{"services.kv": ":9080", "health_check": {"interval": "1s"}}"#,
        )
        .unwrap();
        let resolved = flags(&[])
            .resolve_with(Some(&file), |_, _| Ok(Vec::new()))
            .unwrap();
        let names: Vec<&str> = resolved.sources.keys().map(String::as_str).collect();
        assert_eq!(names, ["health_check.interval", "services"]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_a_usage_error_that_names_the_option() {
        let resolve = |line: &[&str]| {
            let resolved = flags(line).resolve_with(None, |_, _| Ok(Vec::new()));
            let checked = resolved.and_then(|resolved| Ok(resolved.options.validate()?));
            checked.unwrap_err().to_string()
        };
        assert!(resolve(&[]).contains("node_id is required"));
        let error = resolve(&["--node-id", "a", "--http-addr", ":0", "--max-voters", "99"]);
        assert!(
            error.contains("max_voters") && error.contains("1 to 15"),
            "{error}"
        );
    }
}
