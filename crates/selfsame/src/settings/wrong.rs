//! Explains wrong values of settings in plain words. The parser's messages use Rust's terms. It
//! also loses the name of a setting if a section is read in two steps.

use toml::{Table, Value};

use super::Method;
use super::RunConfig;
use super::defaults;
use super::known::leaves;
use super::overrides::insert;

/// Why `table` does not describe a run of `method`. `message` is the parser's error.
pub fn explain(table: &Table, method: Method, message: &str) -> String {
    let Ok(defaults) = Table::try_from(defaults::config(method, None)) else {
        return message.to_owned();
    };
    // Tries the settings one after another, each with correct defaults.
    for (key, value) in leaves(table) {
        let mut only = defaults.clone();
        if insert(&mut only, &key, value.clone()).is_err() {
            continue;
        }
        if let Err(error) = only.try_into::<RunConfig>() {
            return format!("{key} = {value}: {}", wanted(&key, value, error.message()));
        }
    }
    match message.split('`').nth(1) {
        Some(name) if message.contains("missing field") => format!("{name} is missing"),
        _ if message.contains("flattened") => {
            format!("the section {} is missing", method.section())
        }
        _ => message.trim().replace('\n', " "),
    }
}

/// The valid values of the setting. `message` is the parser's error: `invalid type: string "many",
/// expected usize`.
fn wanted(key: &str, value: &Value, message: &str) -> String {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, [_, known @ ..]) = (message.starts_with("unknown variant"), &names[..]) {
        let given = value.as_str().unwrap_or_default();
        let hint = crate::names::did_you_mean(given, known.iter().copied());
        return format!("{hint}{} is wanted", one_of(known));
    }
    let expected = message.rsplit_once("expected ").map_or("", |(_, expected)| expected);
    let expected = expected.lines().next().unwrap_or_default();
    let kind = match expected {
        "a boolean" => "true or false",
        "a string" => "a name or text",
        "a sequence" => "a list, such as [256, 64],",
        "f32" | "f64" => "a number",
        "usize" | "u64" | "u32" => "a whole number of at least 0",
        text if text.starts_with("an array of length 2") => {
            "a list of two numbers, such as [0.5, 1.0],"
        }
        text if text.starts_with("an array of length 3") => {
            "a list of three numbers, such as [0.5, 0.5, 0.5],"
        }
        text if text.starts_with("struct") => {
            return format!("it is a section; its settings are {key}.NAME");
        }
        _ => {
            let meaning = defaults::meanings().iter().find(|(known, _)| known == key);
            return meaning
                .map_or("it cannot be that".into(), |(_, text)| format!("it is: {text}"));
        }
    };
    format!("{kind} is wanted")
}

fn one_of(names: &[&str]) -> String {
    match names {
        [one] => (*one).to_owned(),
        [some @ .., last] => format!("{} or {last}", some.join(", ")),
        [] => "another value".to_owned(),
    }
}
