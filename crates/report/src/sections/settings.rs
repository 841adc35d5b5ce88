//! Settings as TOML, and the differences between those of several runs.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::html::escape;

/// The TOML, one block for each table.
pub fn listing(settings: &str) -> String {
    let mut blocks: Vec<String> = vec![];
    for line in settings.lines() {
        let header = line.starts_with('[');
        if header || blocks.is_empty() {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push_str(&marked(line));
            block.push('\n');
        }
    }
    let blocks: Vec<&str> = blocks.iter().map(|b| b.trim()).filter(|b| !b.is_empty()).collect();
    if blocks.is_empty() {
        return String::new();
    }
    let blocks: String = blocks.iter().map(|b| format!("<pre>{b}</pre>")).collect();
    format!("<div class=\"settings\">{blocks}</div>")
}

fn marked(line: &str) -> String {
    let text = escape(line);
    match line.trim_start().chars().next() {
        Some('#') => format!("<i>{text}</i>"),
        Some('[') => format!("<b>{text}</b>"),
        _ => text,
    }
}

/// The keys whose values differ, with each run's value, or none if the key is absent. Settings that
/// are empty or not TOML are ignored.
pub fn differences(settings: &[&str]) -> Vec<(String, Vec<Option<String>>)> {
    let flat: Vec<BTreeMap<String, String>> = settings
        .iter()
        .map(|text| {
            let mut keys = BTreeMap::new();
            if let Ok(table) = text.parse::<Table>() {
                flatten("", &table, &mut keys);
            }
            keys
        })
        .collect();
    let known = || flat.iter().filter(|keys| !keys.is_empty());
    let all: BTreeSet<&String> = known().flat_map(BTreeMap::keys).collect();
    all.into_iter()
        .filter(|key| {
            known().any(|keys| known().next().is_some_and(|f| f.get(*key) != keys.get(*key)))
        })
        .map(|key| (key.clone(), flat.iter().map(|keys| keys.get(key).cloned()).collect()))
        .collect()
}

fn flatten(prefix: &str, table: &Table, keys: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, keys),
            other => {
                keys.insert(key, other.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_differ_are_listed() {
        let a = "seed = 1\n[train]\nepochs = 20\nlr = 0.1";
        let b = "seed = 1\n[train]\nepochs = 40\nlr = 0.1\n[byol]\ntau = 0.99";
        let expected = [
            ("byol.tau".to_string(), vec![None, Some("0.99".to_string())]),
            ("train.epochs".to_string(), vec![Some("20".into()), Some("40".into())]),
        ];
        assert_eq!(differences(&[a, b]), expected);
        assert_eq!(differences(&[a, a]), []);
        assert_eq!(differences(&["not [ toml", "", "seed = 1"]), []);
    }

    #[test]
    fn each_table_is_a_block() {
        let html = listing("seed = 1\n\n[train]\n# why\nname = \"<b>\"");
        assert_eq!(
            html,
            "<div class=\"settings\"><pre>seed = 1</pre><pre><b>[train]</b>\n<i># why</i>\n\
             name = &quot;&lt;b&gt;&quot;</pre></div>"
        );
        assert_eq!(listing(" \n"), "");
    }
}
