//! What a piece of text means, and the colour that shows it.

use anstyle::{AnsiColor, Style};

/// What a piece of text means. Meaning is never carried by colour alone: the text says it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// A title or a table's head.
    Heading,
    /// Of less interest.
    Dim,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// A primary copy.
    Primary,
    /// Another copy.
    Replica,
    /// A copy that is being made.
    Pending,
    /// A copy that was made lately.
    New,
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Styles {
    colour: bool,
}

impl Styles {
    /// Styles that use colour or do not.
    pub(crate) fn new(colour: bool) -> Self {
        Styles { colour }
    }

    /// `text` in the tone's colour.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        match self.style(tone) {
            Some(style) if !text.is_empty() => format!("{style}{text}{style:#}"),
            _ => text.to_string(),
        }
    }

    /// The tone's colour; `None` when text stays as it is.
    pub(crate) fn style(self, tone: Tone) -> Option<Style> {
        let style = match tone {
            Tone::Plain => return None,
            Tone::Heading => Style::new().bold(),
            Tone::Dim => Style::new().dimmed(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Warn => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Primary => AnsiColor::Black.on(AnsiColor::Green),
            Tone::Replica => AnsiColor::Black.on(AnsiColor::Cyan),
            Tone::Pending => AnsiColor::Black.on(AnsiColor::Yellow),
            Tone::New => AnsiColor::Black.on(AnsiColor::Magenta).bold(),
        };
        self.colour.then_some(style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_text_stays_as_it_is() {
        assert_eq!(Styles::new(false).paint(Tone::Bad, "failed"), "failed");
        assert_eq!(Styles::new(true).paint(Tone::Good, "ok"), "\u{1b}[32mok\u{1b}[0m");
    }
}
