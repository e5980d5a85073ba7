//! What this program shows to nodes, and the secret from which that is made. Neither comes from a flag: the command line of a
//! process can be read by everybody on the machine.

use std::io::Read;
use std::path::Path;

use clusterkit::{Secret, options_table};

use crate::args::Global;
use crate::error::{CliError, Result};

/// The variable with a token.
const TOKEN_VARIABLE: &str = "CLUSTERKIT_TOKEN";
/// The longest file with a token or a secret that is read.
const MAX_FILE_BYTES: u64 = 16 << 10;

/// What is shown to a node that asks for a proof.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    /// A token, made by `clusterkit token`.
    pub(crate) token: Option<Secret>,
}

impl Credentials {
    /// From the file of `--token-file`, else from the environment.
    pub(crate) fn of(global: &Global) -> Result<Self> {
        let token = match &global.token_file {
            Some(path) => Some((path.display().to_string(), read(path)?)),
            None => variable(TOKEN_VARIABLE)?.map(|text| (TOKEN_VARIABLE.to_owned(), text)),
        };
        let token = token.map(|(source, text)| {
            let text = text.trim();
            let is_one = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            match is_one {
                true => Ok(Secret::from(text)),
                false => Err(CliError::Usage(format!(
                    "{source}: what is in it, which is not shown, is no token; clusterkit token makes one"
                ))),
            }
        });
        Ok(Credentials {
            token: token.transpose()?,
        })
    }
}

/// The cluster's secret: from the file that is named, else from the environment, as a node reads it.
pub(crate) fn cluster_secret(file: Option<&Path>) -> Result<String> {
    if let Some(path) = file {
        return read(path);
    }
    if let Some((_, secret)) = option_variable("cluster_secret")? {
        return Ok(secret);
    }
    match option_variable("cluster_secret_file")? {
        Some((_, path)) => read(Path::new(&path)),
        None => Err(CliError::Usage(
            "the cluster's secret is needed: --secret-file, CLUSTERKIT_CLUSTER_SECRET_FILE or CLUSTERKIT_CLUSTER_SECRET"
                .to_owned(),
        )),
    }
}

/// The value of an option in the environment, and the variable that has it.
pub(crate) fn option_variable(name: &str) -> Result<Option<(&'static str, String)>> {
    let spec = options_table().iter().find(|spec| spec.name == name);
    for name in spec.map_or(&[][..], |spec| spec.env) {
        if let Some(value) = variable(name)? {
            return Ok(Some((name, value)));
        }
    }
    Ok(None)
}

/// An environment variable; `None` where it is not set, or empty.
fn variable(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(CliError::Usage(format!("{name} is no text"))),
    }
}

fn read(path: &Path) -> Result<String> {
    let failed =
        |why: &dyn std::fmt::Display| CliError::Usage(format!("cannot read {}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let mut text = String::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| failed(&error))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(failed(&format!("it is longer than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}
