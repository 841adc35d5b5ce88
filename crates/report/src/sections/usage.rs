//! What to do with a run: the command that makes it, and code that loads what it left.

use std::fmt::Write;

use crate::Snippet;
use crate::html::escape;

/// The command, then the snippets, each under its title.
pub fn usage(command: &str, snippets: &[Snippet]) -> String {
    let mut html = String::new();
    let command = (!command.is_empty()).then_some(("The command that makes this run", command));
    let snippets = snippets.iter().map(|s| (s.title.as_str(), s.code.as_str()));
    for (title, code) in command.into_iter().chain(snippets) {
        let _ = write!(
            html,
            "<figure class=\"code\"><figcaption><h3>{}</h3></figcaption>\
             <pre class=\"command\" tabindex=\"0\">{}</pre></figure>",
            escape(title),
            escape(code)
        );
    }
    html
}
