//! Labels as they stand in files, numbers or words, and the classes that they make together.

use std::collections::{BTreeMap, HashMap};

/// The most classes, more than ImageNet-21k has. A larger number is not a class: its list of names
/// would be too long.
pub(crate) const MAX_CLASSES: u32 = 100_000;
/// The most bytes of one label.
const MAX_LABEL_BYTES: usize = 256;

/// Different labels in the order in which they were met. Each has a number.
#[derive(Default)]
pub(crate) struct RawLabels {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl RawLabels {
    /// The number of a label. The same text has the same number, without the white space around it.
    /// An empty text is no label: `None`.
    ///
    /// # Errors
    /// The reason why the text cannot be a label.
    pub(crate) fn number(&mut self, text: &str) -> Result<Option<u32>, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(number) = self.numbers.get(text) {
            return Ok(Some(*number));
        }
        if text.len() > MAX_LABEL_BYTES || text.contains(char::is_control) {
            return Err(format!("a label of {} bytes is neither a number nor a word", text.len()));
        }
        // Twice as many, since a test split may have others.
        if self.texts.len() >= 2 * MAX_CLASSES as usize {
            return Err(format!("more than {MAX_CLASSES} different labels"));
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        Ok(Some(number))
    }

    /// The text of a label that stands for a class. A negative number does not.
    pub(crate) fn class_text(&self, number: u32) -> Option<&str> {
        let text = self.texts.get(number as usize)?;
        (!is_negative(text)).then_some(text)
    }

    /// The classes that these labels make. `used` has the numbers of the training images' labels.
    /// `names` has the names of classes in the order of their numbers, if the data set lists them.
    ///
    /// Whole numbers are classes, and negative ones stand for no label. If one label is not a whole
    /// number below [`MAX_CLASSES`], all are words. Then the classes are `names` if it has all
    /// words, else the words in alphabetical order.
    pub(crate) fn classes(&self, used: &[u32], names: &[String]) -> Classes {
        let texts = || used.iter().filter_map(|number| self.texts.get(*number as usize));
        let whole = |text: &str| text.parse::<i64>().ok().filter(|n| *n < i64::from(MAX_CLASSES));
        if texts().all(|text| whole(text).is_some()) {
            let class = |text: &String| whole(text).and_then(|n| u32::try_from(n).ok());
            let largest = texts().filter_map(class).max();
            let names = names_or_numbers(names, largest);
            let known = names.len() as u32;
            let of = self.texts.iter().map(|text| class(text).filter(|c| *c < known)).collect();
            return Classes { names, of };
        }
        let mut words: Vec<&String> = texts().filter(|text| !is_negative(text)).collect();
        words.sort_unstable();
        words.dedup();
        let names: Vec<String> = match words.iter().all(|word| names.contains(word)) {
            true => names.to_vec(),
            false => words.into_iter().take(MAX_CLASSES as usize).cloned().collect(),
        };
        let places: BTreeMap<&String, u32> = names.iter().zip(0..).collect();
        let of = self.texts.iter().map(|text| places.get(text).copied()).collect();
        Classes { names, of }
    }
}

/// What labels mean.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Classes {
    /// Names of the classes; empty if there is no label.
    pub(crate) names: Vec<String>,
    /// The class of each label by its number. `None` if it is none of these classes.
    of: Vec<Option<u32>>,
}

impl Classes {
    /// The class of a label.
    pub(crate) fn of(&self, number: u32) -> Option<u32> {
        self.of.get(number as usize).copied().flatten()
    }
}

/// The usual way to say that there is no label.
fn is_negative(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|n| n < 0)
}

/// Names for the labels up to `largest`: `names` if there are enough, else numbers. None without a
/// label.
fn names_or_numbers(names: &[String], largest: Option<u32>) -> Vec<String> {
    let Some(largest) = largest else { return Vec::new() };
    let classes = largest as usize + 1;
    match names.len() >= classes {
        true => names.to_vec(),
        false => (0..classes).map(|c| c.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(texts: &[&str], training: usize, names: &[&str]) -> (Vec<String>, Vec<Option<u32>>) {
        let mut labels = RawLabels::default();
        let numbers: Vec<u32> =
            texts.iter().map(|text| labels.number(text).unwrap().unwrap()).collect();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let classes = labels.classes(&numbers[..training], &names);
        let of = numbers.iter().map(|number| classes.of(*number)).collect();
        (classes.names, of)
    }

    #[test]
    fn numbers_are_classes_and_negative_ones_none() {
        let (names, of) = classes(&["2", " 0\n", "-1", "2"], 4, &[]);
        assert_eq!(names, ["0", "1", "2"]);
        assert_eq!(of, [Some(2), Some(0), None, Some(2)]);
        let (names, _) = classes(&["1"], 1, &["ant", "bee", "cow"]);
        assert_eq!(names, ["ant", "bee", "cow"]);
    }

    #[test]
    fn words_are_classes_in_alphabetical_order_or_that_of_a_list() {
        let (names, of) = classes(&["dog", "cat", "7", "yak"], 3, &[]);
        assert_eq!(names, ["7", "cat", "dog"]);
        assert_eq!(of, [Some(2), Some(1), Some(0), None], "yak is not among the training images");
        assert_eq!(classes(&["dog", "-1", "cat"], 3, &[]).0, ["cat", "dog"]);
        let (names, of) = classes(&["cow", "ant"], 2, &["ant", "bee", "cow"]);
        assert_eq!((names.len(), of), (3, vec![Some(2), Some(0)]));
    }

    #[test]
    fn what_is_no_label_is_told() {
        let mut labels = RawLabels::default();
        assert_eq!(labels.number(" \n"), Ok(None));
        assert!(labels.number("a\u{0}b").is_err() && labels.number(&"x".repeat(300)).is_err());
        // A number that is too large to count with is a word.
        let (names, of) = classes(&["123456789", "3"], 2, &[]);
        assert_eq!((names.len(), of), (2, vec![Some(0), Some(1)]));
    }
}
