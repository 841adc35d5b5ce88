//! Names of folders and files that say what is trained on and what is tested on.

/// Words for training images.
const TRAINING: [&str; 2] = ["train", "training"];
/// Words for images to test on, in the order of preference.
const TEST: [&str; 7] = ["test", "testing", "val", "valid", "validation", "dev", "eval"];
/// The first of them that stands for validation.
const VALIDATION: usize = 2;

/// What a word stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Training images.
    Training,
    /// Images to test on; those with a smaller number come first.
    Test(usize),
}

impl Role {
    /// The role of a name that is just one of the words, in any case.
    pub(crate) fn of(name: &str) -> Option<Self> {
        if TRAINING.iter().any(|word| name.eq_ignore_ascii_case(word)) {
            return Some(Self::Training);
        }
        let rank = TEST.iter().position(|word| name.eq_ignore_ascii_case(word));
        rank.map(Self::Test)
    }

    /// The role of a name that contains one of the words: training before test before validation.
    /// Words end where letters end.
    pub(crate) fn in_words(name: &str) -> Option<Self> {
        name.split(|c: char| !c.is_alphabetic()).filter_map(Self::of).min()
    }

    /// Whether these are validation images. They are tested on if there are no others.
    pub(crate) fn is_validation(self) -> bool {
        matches!(self, Self::Test(rank) if rank >= VALIDATION)
    }

    /// The role of a name with exactly one of the words in it, and the rest of the name. Words end
    /// where letters end, or before a capital: `trainA`.
    fn within(name: &str) -> Option<(Self, Vec<String>)> {
        let (mut role, mut rest) = (None, Vec::new());
        for word in name.split(|c: char| !c.is_alphabetic()).flat_map(parts) {
            match Self::of(&word) {
                Some(found) if role.is_none() => role = Some(found),
                Some(_) => return None,
                None => rest.push(word.to_lowercase()),
            }
        }
        Some((role?, rest))
    }
}

/// Splits a word without spaces into its parts: before a capital that follows a small letter, and
/// `traindata` before `data`.
fn parts(word: &str) -> Vec<String> {
    /// Words that may follow a word for a split directly.
    const BEHIND: [&str; 7] = ["set", "sets", "data", "dataset", "images", "imgs", "files"];
    let mut parts = vec![String::new()];
    let mut small = false;
    for letter in word.chars() {
        if small && letter.is_uppercase() {
            parts.push(String::new());
        }
        small = letter.is_lowercase();
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    if let [only] = &parts[..] {
        let only = only.to_lowercase();
        let behind = BEHIND.iter().find_map(|behind| {
            let front = only.strip_suffix(behind).filter(|front| Role::of(front).is_some())?;
            Some(vec![front.to_owned(), (*behind).to_owned()])
        });
        parts = behind.unwrap_or(parts);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The roles of folders side by side. A folder has one if its whole name is one of the words. If
/// none is named by a training word, names that differ only in the word count, with a training
/// folder among them (`seg_train` and `seg_test`, `train2017` and `val2017`).
pub(crate) fn roles(names: &[&str]) -> Vec<Option<Role>> {
    let whole: Vec<Option<Role>> = names.iter().map(|name| Role::of(name)).collect();
    if whole.contains(&Some(Role::Training)) {
        return whole;
    }
    let within: Vec<_> = names.iter().map(|name| Role::within(name)).collect();
    let has = |rest: &Vec<String>, test: bool| {
        let fits = |role: Role| matches!(role, Role::Test(_)) == test;
        within.iter().flatten().any(|(role, other)| other == rest && fits(*role))
    };
    let pairs: Vec<&Vec<String>> = within
        .iter()
        .flatten()
        .map(|(_, rest)| rest)
        .filter(|rest| has(rest, true) && has(rest, false))
        .collect();
    if pairs.is_empty() {
        return whole;
    }
    let role = |found: &Option<(Role, Vec<String>)>| {
        found.as_ref().filter(|(_, rest)| pairs.contains(&rest)).map(|(role, _)| *role)
    };
    within.iter().map(role).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_any_case_and_names_that_are_alike_but_for_the_word() {
        use Role::{Test, Training};
        for (names, expected) in [
            (&["Train", "Test", "x"][..], &[Some(Training), Some(Test(0)), None][..]),
            (&["TRAINING", "val", "dev"], &[Some(Training), Some(Test(2)), Some(Test(5))]),
            (&["seg_train", "seg_test", "seg_pred"], &[Some(Training), Some(Test(0)), None]),
            (&["train2017", "val2017"], &[Some(Training), Some(Test(2))]),
            (&["training_set", "test_set"], &[Some(Training), Some(Test(0))]),
            // Classes of ImageNet.
            (&["bullet_train", "test_tube", "wok"], &[None, None, None]),
            (&["bullet_train", "bullet"], &[None, None]),
            (&["cat", "test"], &[None, Some(Test(0))]),
            (&["trainA", "testA"], &[Some(Training), Some(Test(0))]),
            (&["TrainData", "TestData"], &[Some(Training), Some(Test(0))]),
            (&["traindata", "testdata"], &[Some(Training), Some(Test(0))]),
            (&["trainer", "tester"], &[None, None]),
            // Two training folders. The caller has to refuse them.
            (
                &["a_train", "a_test", "b_train", "b_test"],
                &[Some(Training), Some(Test(0)), Some(Training), Some(Test(0))],
            ),
        ] {
            assert_eq!(roles(names), expected, "{names:?}");
        }
    }
}
