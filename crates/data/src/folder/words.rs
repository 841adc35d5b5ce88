//! Names of folders and files that say what is trained on and what is tested on.

/// Words for training images.
const TRAINING: [&str; 2] = ["train", "training"];
/// Words for images to test on, the first of these that is there.
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
    /// Of a name that is nothing but one of the words, in any case.
    pub(crate) fn of(name: &str) -> Option<Self> {
        if TRAINING.iter().any(|word| name.eq_ignore_ascii_case(word)) {
            return Some(Self::Training);
        }
        let rank = TEST.iter().position(|word| name.eq_ignore_ascii_case(word));
        rank.map(Self::Test)
    }

    /// Of a name that has one of the words in it; training before test before validation. Words end
    /// where letters end.
    pub(crate) fn in_words(name: &str) -> Option<Self> {
        name.split(|c: char| !c.is_alphabetic()).filter_map(Self::of).min()
    }

    /// Whether these are images to validate on, which are tested on for want of others.
    pub(crate) fn is_validation(self) -> bool {
        matches!(self, Self::Test(rank) if rank >= VALIDATION)
    }

    /// Of a name with exactly one of the words in it, and what is left of the name without it. Words
    /// end where letters end.
    fn within(name: &str) -> Option<(Self, Vec<String>)> {
        let words = name.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
        let (mut role, mut rest) = (None, Vec::new());
        for word in words {
            match Self::of(word) {
                Some(found) if role.is_none() => role = Some(found),
                Some(_) => return None,
                None => rest.push(word.to_lowercase()),
            }
        }
        Some((role?, rest))
    }
}

/// What folders that lie side by side are for: those whose whole name is one of the words; or, if
/// none is called a training word, those that are alike but for the word, a training folder among
/// them (`seg_train` and `seg_test`, `train2017` and `val2017`).
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
    // More than one kind of pair is no pair: which one is meant cannot be told.
    let [first, rest @ ..] = &pairs[..] else { return whole };
    if rest.iter().any(|other| other != first) {
        return whole;
    }
    let role = |found: &Option<(Role, Vec<String>)>| {
        found.as_ref().filter(|(_, rest)| rest == *first).map(|(role, _)| *role)
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
            (&["a_train", "a_test", "b_train", "b_test"], &[None, None, None, None]),
        ] {
            assert_eq!(roles(names), expected, "{names:?}");
        }
    }
}
