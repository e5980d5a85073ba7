//! Options of nodes and of clients, by the names of their tables.

use std::collections::HashMap;

use clusterkit::{ClientOptions, OptionDefault, OptionKind, Options, client_options_table, options_table};
use napi_derive::napi;
use serde::Serialize;

use crate::error::{self as js, thrown};
use crate::json::json;

/// The options of a node, for the front's class `OptionSet`.
#[napi]
#[derive(Default)]
pub struct NativeOptions {
    options: Options,
}

impl NativeOptions {
    pub(crate) fn options(&self) -> Options {
        self.options.clone()
    }
}

#[napi]
impl NativeOptions {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        NativeOptions::default()
    }

    #[napi(catch_unwind)]
    pub fn set(&mut self, name: String, value: String) -> js::Result<()> {
        self.options.set(&name, &value).map_err(|error| thrown(&error))
    }

    #[napi(catch_unwind)]
    pub fn get(&self, name: String) -> js::Result<String> {
        self.options.get(&name).map_err(|error| thrown(&error))
    }

    #[napi(catch_unwind)]
    pub fn load_json(&mut self, text: String) -> js::Result<()> {
        self.options.merge_json(&text).map_err(|error| thrown(&error))
    }

    #[napi(catch_unwind)]
    pub fn load_file(&mut self, path: String) -> js::Result<()> {
        self.options
            .merge_file(path)
            .map(drop)
            .map_err(|error| thrown(&error))
    }

    /// Takes what the variables of an environment name.
    #[napi(catch_unwind)]
    pub fn load_env(&mut self, variables: HashMap<String, String>) -> js::Result<()> {
        let lookup = |name: &str| variables.get(name).cloned();
        self.options
            .apply_env_with(lookup)
            .map_err(|error| thrown(&error))
    }

    #[napi(catch_unwind)]
    pub fn validate(&self) -> js::Result<()> {
        self.options.validate().map_err(|error| thrown(&error))
    }

    /// What the options come to, as the JSON of pairs.
    #[napi(catch_unwind)]
    pub fn effective(&self) -> js::Result<String> {
        let effective = self.options.effective().map_err(|error| thrown(&error))?;
        Ok(json(&effective))
    }
}

/// The options of a client, for the front's class `ClientOptionSet`.
#[napi]
#[derive(Default)]
pub struct NativeClientOptions {
    options: ClientOptions,
}

impl NativeClientOptions {
    pub(crate) fn options(&self) -> ClientOptions {
        self.options.clone()
    }
}

#[napi]
impl NativeClientOptions {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        NativeClientOptions::default()
    }

    #[napi(catch_unwind)]
    pub fn set(&mut self, name: String, value: String) -> js::Result<()> {
        self.options.set(&name, &value).map_err(|error| thrown(&error))
    }

    #[napi(catch_unwind)]
    pub fn get(&self, name: String) -> js::Result<String> {
        self.options.get(&name).map_err(|error| thrown(&error))
    }

    #[napi(catch_unwind)]
    pub fn load_json(&mut self, text: String) -> js::Result<()> {
        self.options.merge_json(&text).map_err(|error| thrown(&error))
    }

    #[napi(catch_unwind)]
    pub fn validate(&self) -> js::Result<()> {
        self.options.validate().map_err(|error| thrown(&error))
    }
}

/// One row of a table of options.
#[derive(Serialize)]
struct OptionRow {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    bounds: String,
    /// The words of a choice.
    choices: &'static [&'static str],
    default: &'static str,
    required: bool,
    env: &'static [&'static str],
    help: &'static str,
}

fn choices(kind: &OptionKind) -> &'static [&'static str] {
    match kind {
        OptionKind::Choice(words) => words,
        _ => &[],
    }
}

/// Every option of a node, as JSON.
#[napi(catch_unwind)]
pub fn option_rows() -> String {
    let rows: Vec<_> = options_table()
        .iter()
        .map(|spec| OptionRow {
            name: spec.name,
            kind: spec.kind.type_name(),
            bounds: spec.kind.bounds(),
            choices: choices(&spec.kind),
            default: spec.default.text(),
            required: spec.default == OptionDefault::Required,
            env: spec.env,
            help: spec.help,
        })
        .collect();
    json(&rows)
}

/// Every option of a client, as JSON.
#[napi(catch_unwind)]
pub fn client_option_rows() -> String {
    let rows: Vec<_> = client_options_table()
        .iter()
        .map(|spec| OptionRow {
            name: spec.name,
            kind: spec.kind.type_name(),
            bounds: spec.kind.bounds(),
            choices: choices(&spec.kind),
            default: spec.default.text(),
            required: spec.default == OptionDefault::Required,
            env: &[],
            help: spec.help,
        })
        .collect();
    json(&rows)
}
