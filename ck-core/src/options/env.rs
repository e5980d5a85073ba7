//! Options from environment variables.

use std::env::VarError;

use super::{Options, table};
use crate::error::{Error, ErrorCode, Result};

impl Options {
    /// Sets the options that the process's environment names; see [`Options::apply_env_with`].
    ///
    /// # Errors
    /// As [`Options::apply_env_with`], and [`ErrorCode::InvalidOption`] for a value that is not UTF-8.
    pub fn apply_env(&mut self) -> Result<()> {
        self.apply_env_below(&[]).map(drop)
    }

    /// As [`Options::apply_env`], below a source of higher precedence: variables of the options named in `overridden` are not
    /// read, whatever they contain. Returns the options that were set, each with the variable that set it.
    ///
    /// # Errors
    /// As [`Options::apply_env`].
    pub fn apply_env_below(&mut self, overridden: &[&str]) -> Result<Vec<(&'static str, &'static str)>> {
        self.apply_variables(overridden, |name| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => {
                let message = format!("environment variable {name} is not UTF-8");
                Err(Error::new(ErrorCode::InvalidOption, message))
            }
        })
    }

    /// The defaults, overridden by the process's environment.
    ///
    /// # Errors
    /// As [`Options::apply_env`].
    pub fn from_env() -> Result<Self> {
        let mut options = Options::default();
        options.apply_env()?;
        Ok(options)
    }

    /// Sets every option for which `lookup` returns a variable. A variable that is set but empty counts as not set:
    /// `DATA_DIR=` in a script is an accident more often than a request to keep nothing on disk. On an error nothing
    /// changes.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]; the message names the variable.
    pub fn apply_env_with(&mut self, mut lookup: impl FnMut(&str) -> Option<String>) -> Result<()> {
        self.apply_variables(&[], |name| Ok(lookup(name))).map(drop)
    }

    pub(super) fn apply_variables(
        &mut self,
        overridden: &[&str],
        mut lookup: impl FnMut(&str) -> Result<Option<String>>,
    ) -> Result<Vec<(&'static str, &'static str)>> {
        let mut changed = self.clone();
        let mut set = Vec::new();
        for spec in table().iter().filter(|spec| !overridden.contains(&spec.name)) {
            for variable in spec.env {
                let Some(value) = lookup(variable)?.filter(|value| !value.is_empty()) else {
                    continue;
                };
                if *variable == "HTTP_PORT" && is_service_link(&value) {
                    continue;
                }
                let value = if *variable == "HTTP_PORT" {
                    port_only(value)?
                } else {
                    value
                };
                let outcome = changed.set(spec.name, &value);
                outcome.map_err(|error| error.context(format!("environment variable {variable}")))?;
                set.push((spec.name, *variable));
                break;
            }
        }
        *self = changed;
        Ok(set)
    }
}

/// Kubernetes sets `HTTP_PORT=tcp://10.3.104.46:80` in every container beside a service that is called "http". Such a
/// value is not meant for this node.
fn is_service_link(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme))
}

/// HTTP_PORT is a bare number, which means `:number`.
fn port_only(value: String) -> Result<String> {
    if value.parse::<u16>().is_ok() && !value.starts_with('+') {
        return Ok(format!(":{value}"));
    }
    let message = format!(
        "environment variable HTTP_PORT: {value:?} is not a port from 0 to 65535; set HTTP_ADDR for an address, \
         which wins over HTTP_PORT"
    );
    Err(Error::new(ErrorCode::InvalidOption, message))
}
