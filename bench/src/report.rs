//! The one table, and the same as JSON.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::Outcome;

/// Everything that was measured, in order.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    results: Vec<Measured>,
}

/// One row.
#[derive(Serialize)]
struct Measured {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<Aim>,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

/// What a value should be.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Aim {
    fn is_met(self, value: f64) -> bool {
        match self {
            Aim::AtLeast(aim) => value >= aim,
            Aim::AtMost(aim) => value <= aim,
        }
    }
}

impl Report {
    /// Adds a row, and says so at once: the whole takes minutes.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        aim: Option<Aim>,
        note: impl Into<String>,
    ) {
        let measured = Measured {
            name: name.into(),
            value,
            unit,
            aim,
            note: note.into(),
        };
        println!("  {}: {} {unit}", measured.name, number(value));
        self.results.push(measured);
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        let width = self.results.iter().map(|row| row.name.len()).max().unwrap_or(0);
        println!("\n{:width$}  {:>12} {:12} {:>12}", "what", "measured", "", "aim");
        for row in &self.results {
            let aim = match row.aim {
                Some(Aim::AtLeast(aim)) => format!(">= {}", number(aim)),
                Some(Aim::AtMost(aim)) => format!("<= {}", number(aim)),
                None => String::new(),
            };
            let verdict = match row.aim {
                Some(aim) if aim.is_met(row.value) => "ok  ",
                Some(_) => "MISS",
                None => "    ",
            };
            let mut line = String::new();
            // Writing to a String cannot fail.
            let _ = write!(
                line,
                "{:width$}  {:>12} {:12} {:>12} {verdict} {}",
                row.name,
                number(row.value),
                row.unit,
                aim,
                row.note
            );
            println!("{}", line.trim_end());
        }
    }

    /// Writes everything as JSON.
    pub(crate) fn write_json(&self, path: &Path) -> Outcome {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }
}

/// Three digits that count, and the thousands apart.
fn number(value: f64) -> String {
    if value >= 1000.0 {
        let digits = format!("{value:.0}");
        let mut grouped = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// The one in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The one that so many per cent of all are not above.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}
