//! The settings as text for people.

use super::RunConfig;
use super::defaults;

/// Characters in a line of a comment.
const WIDTH: usize = 100;

impl RunConfig {
    /// TOML with a comment on each setting.
    pub fn to_commented_toml(&self) -> anyhow::Result<String> {
        let plain = toml::to_string(self)?;
        let mut out = String::new();
        let mut section = String::new();
        let mut seen: Vec<String> = Vec::new();
        let missing = |section: &str, seen: &[String]| -> String {
            let undecided = defaults::meanings().iter().filter(|(key, ..)| {
                let (own, name) = key.rsplit_once('.').unwrap_or(("", key));
                own == section && !seen.iter().any(|s| s == name)
            });
            undecided
                .map(|(key, meaning)| {
                    let name = key.rsplit_once('.').map_or(key.as_str(), |(_, name)| name);
                    format!("{}# {name} =\n", comment(meaning))
                })
                .collect()
        };
        for line in plain.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                out.truncate(out.trim_end().len());
                out += &format!("\n{}\n", missing(&section, &seen));
                seen.clear();
                section = name.to_owned();
            } else if let Some((key, _)) = line.split_once(" = ") {
                let path = if section.is_empty() { key.into() } else { format!("{section}.{key}") };
                if let Some((_, meaning)) = defaults::meanings().iter().find(|(k, _)| *k == path) {
                    out += &comment(meaning);
                }
                seen.push(key.to_owned());
            }
            out += line;
            out.push('\n');
        }
        out += &missing(&section, &seen);
        Ok(out)
    }
}

/// A meaning as lines of a comment.
fn comment(meaning: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in meaning.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}
