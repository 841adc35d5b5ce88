//! All settings, and suggestions for wrong names.

use toml::{Table, Value};

use super::Method;
use super::defaults::meanings;
use crate::names::{meant, nearest};

/// Names in other programs, and our settings.
const ELSEWHERE: [(&str, &str); 18] = [
    ("lr", "optimizer.learning_rate"),
    ("base_lr", "optimizer.learning_rate"),
    ("wd", "optimizer.weight_decay"),
    ("optim", "optimizer.name"),
    ("optimizer", "optimizer.name"),
    ("optimiser", "optimizer.name"),
    ("bs", "train.batch_size"),
    ("batch", "train.batch_size"),
    ("warmup", "train.warmup_epochs"),
    ("workers", "data.threads"),
    ("num_workers", "data.threads"),
    ("arch", "encoder.architecture"),
    ("backbone", "encoder.architecture"),
    ("model", "encoder.architecture"),
    ("width", "encoder.base_width"),
    ("image_size", "views.size"),
    ("img_size", "views.size"),
    ("crop_size", "views.size"),
];

fn keys() -> impl Iterator<Item = &'static str> + Clone {
    meanings().iter().map(|(key, _)| key.as_str())
}

fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// The setting with this name: `train.epochs`, or `Train.Epochs`.
pub fn exact(key: &str) -> Option<&'static str> {
    meant(key, keys())
}

/// The setting for a name without its section: `epochs` or `lr`.
pub fn named(name: &str) -> Option<&'static str> {
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == name);
    let own = || keys().find(|key| last(key) == name && !is_of_a_method(key));
    elsewhere.map(|(_, key)| *key).or_else(own)
}

fn is_of_a_method(key: &str) -> bool {
    Method::ALL.iter().any(|method| key.split('.').next() == Some(method.section()))
}

/// The probable setting for the wrong name `key`.
fn probably(key: &str) -> Option<&'static str> {
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == last(key)).map(|(_, key)| *key);
    let near = || nearest(key, keys()).or_else(|| named(last(key)));
    elsewhere.or_else(near).or_else(|| {
        // A typing error in the name, with a missing or wrong section.
        let name = nearest(last(key), keys().filter(|key| !is_of_a_method(key)).map(last))?;
        keys().find(|key| last(key) == name)
    })
}

/// Checks that `method` has all settings in `table`.
///
/// # Errors
/// The method lacks one of them. The error names it.
pub fn check(table: &Table, method: Method) -> Result<(), String> {
    let section = method.section();
    if let Some(other) = table.get("method").and_then(Value::as_str)
        && Method::parse(other) != Ok(method)
    {
        let asked = method.name();
        return Err(format!("the settings are for {other}, but {asked} was asked for"));
    }
    for (key, value) in leaves(table) {
        let own = key.split('.').next().unwrap_or_default();
        let other = Method::ALL.iter().find(|other| other.section() == own);
        let of = method.name();
        if let Some(other) = other.filter(|_| own != section) {
            let other = other.name();
            return Err(format!("{key}: this is a setting of {other}, not of {of}"));
        }
        // An empty section, or a value in place of a section. The reader reports it later.
        let is_section =
            keys().any(|known| known.strip_prefix(&key).is_some_and(|rest| rest.starts_with('.')));
        if is_section || keys().any(|known| known == key) {
            continue;
        }
        let own_or_common =
            |known: &&str| !is_of_a_method(known) || known.starts_with(&format!("{section}."));
        let hint = match probably(&key).filter(own_or_common) {
            Some(known) => format!("did you mean --set {known}={}?", plain(value)),
            None => format!("`selfsame config {of}` prints all settings"),
        };
        return Err(format!("{key}: a run of {of} has no such setting; {hint}"));
    }
    Ok(())
}

/// A value in the form after `--set KEY=`.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Every setting with its full name and its value. A list is one value.
pub fn leaves(table: &Table) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.is_empty() => {
                let inner = leaves(inner).into_iter();
                found.extend(inner.map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            value => found.push((key.clone(), value)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_names_lead_to_the_setting_that_was_meant() {
        for (given, known) in [
            ("train.epoch=5", "--set train.epochs=5"),
            ("optimiser.name=lars", "--set optimizer.name=lars"),
            ("epochs=5", "--set train.epochs=5"),
            ("lr=0.1", "--set optimizer.learning_rate=0.1"),
            ("optimizer.lr=0.1", "--set optimizer.learning_rate=0.1"),
            ("byol.tau=0.9", "selfsame config byol"),
            ("barlow_twins.lambda=0.9", "a setting of barlow-twins"),
        ] {
            let (key, value) = given.split_once('=').unwrap();
            let table: Table =
                format!("{key} = {}", super::super::overrides::parse_value(value)).parse().unwrap();
            let error = check(&table, Method::Byol).unwrap_err();
            assert!(error.contains(known), "{given}: {error}");
        }
        assert_eq!(exact("Train.batch-size"), Some("train.batch_size"));
    }
}
