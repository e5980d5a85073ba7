//! Options from environment variables.

use std::env::VarError;

use super::{Options, table};
use crate::error::{Error, ErrorCode, Result};

impl Options {
    /// Sets what the process's environment names; see [`Options::apply_env_with`].
    ///
    /// # Errors
    /// As [`Options::apply_env_with`], and [`ErrorCode::InvalidOption`] for a value that is not UTF-8.
    pub fn apply_env(&mut self) -> Result<()> {
        self.apply_variables(|name| match std::env::var(name) {
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

    /// Sets every option of which `lookup` knows a variable. A variable that is set but empty counts as not
    /// set: `DATA_DIR=` in a script is an accident more often than a wish to keep nothing. On an error nothing
    /// changes.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]; the message names the variable.
    pub fn apply_env_with(&mut self, mut lookup: impl FnMut(&str) -> Option<String>) -> Result<()> {
        self.apply_variables(|name| Ok(lookup(name)))
    }

    fn apply_variables(&mut self, mut lookup: impl FnMut(&str) -> Result<Option<String>>) -> Result<()> {
        let mut changed = self.clone();
        for spec in table() {
            for variable in spec.env {
                let Some(value) = lookup(variable)?.filter(|value| !value.is_empty()) else {
                    continue;
                };
                let value = if *variable == "HTTP_PORT" {
                    port_only(value)?
                } else {
                    value
                };
                let set = changed.set(spec.name, &value);
                set.map_err(|error| error.context(format!("environment variable {variable}")))?;
                break;
            }
        }
        *self = changed;
        Ok(())
    }
}

/// HTTP_PORT is a bare number, which stands for `:number`.
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
