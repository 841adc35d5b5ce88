//! Names as people type them.

use std::path::Path;

use strsim::osa_distance;

/// The name without what does not matter: capitals, and whether words are joined by `-`, by `_` or
/// not at all.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !"-_ ".contains(*c)).flat_map(char::to_lowercase).collect()
}

/// The entry of `known` that equals `name`, perhaps in another spelling.
pub fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let exact = known.clone().into_iter().find(|other| *other == name);
    exact.or_else(|| known.into_iter().find(|other| plain(other) == plain(name)))
}

/// The entry of `known` that is nearest to `name`.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = plain(name);
    // One or two typing errors. Fewer for a short name.
    let most = (name.chars().count() / 3).clamp(1, 3);
    let distances = known.into_iter().map(|other| (osa_distance(&plain(other), &name), other));
    let (distance, other) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= most).then_some(other)
}

/// The beginning of an error's second sentence: the nearest name, if there is one.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or(String::new(), |other| format!("did you mean {other}? "))
}

/// The folder beside `path`, which is not there, with the nearest name: `; did you mean X?`.
pub fn folder_beside(path: &Path) -> String {
    let near = || {
        let wanted = path.file_name()?.to_str()?;
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let entries = std::fs::read_dir(above.unwrap_or(".".as_ref())).ok()?;
        let folders = entries.flatten().filter(|entry| entry.path().is_dir());
        let names: Vec<_> =
            folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let name = nearest(wanted, names.iter().map(String::as_str))?;
        Some(path.with_file_name(name))
    };
    near().map_or(String::new(), |near| format!("; did you mean {}?", near.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["byol", "barlow-twins", "moco-v3", "fashion-mini"];

    #[test]
    fn capitals_and_joints_do_not_matter_and_errors_of_typing_are_asked_about() {
        for (name, known) in
            [("BYOL", "byol"), ("barlow_twins", "barlow-twins"), ("MoCoV3", "moco-v3")]
        {
            assert_eq!(meant(name, KNOWN), Some(known));
        }
        for (name, known) in [("boyl", "byol"), ("fashon-mini", "fashion-mini")] {
            assert_eq!((meant(name, KNOWN), nearest(name, KNOWN)), (None, Some(known)));
        }
        assert_eq!(nearest("imagenet", KNOWN), None);
    }
}
