//! Layouts that are drawn from a seed, with their right reading. The reading follows from how a
//! layout is built. Nothing here looks at a folder to find it.

use std::collections::HashSet;

use super::corpus::{Corpus, Damage, EXTENSIONS, Fate, drawn, join, over, test, train};

/// Names as people, cameras and cameras' makers choose them. None is a word for a split by itself,
/// though some come near.
const NAMES: [&str; 36] = [
    "cat",
    "dog",
    "Blue Jay",
    "n02084071",
    "CAMEL",
    "école",
    "猫",
    "🐈 und 🐕",
    "a.b.c",
    "x.png",
    "photos.tar.d",
    "weird (copy) [1]",
    "-dash",
    "~tilde",
    "#1",
    "100%",
    "it's",
    "trailing dot.",
    "under_score",
    "0",
    "007",
    "Z",
    "trainer",
    "Testament",
    "latest",
    "contest",
    "evaluation",
    "developer",
    "validated",
    "test tubes",
    "train station",
    "dev-board",
    "eval kit",
    "labels",
    "DCIM",
    "new folder",
];

/// Words for test images, the preferred one first.
const TESTS: [&str; 7] = ["test", "testing", "val", "valid", "validation", "dev", "eval"];

/// Names of split folders around the word.
const PAIRS: [[&str; 2]; 6] =
    [["", "_set"], ["seg_", ""], ["", "2017"], ["my photos ", ""], ["", ".images"], ["A-", "-b"]];

/// Numbers that follow from a seed (SplitMix64; Steele, Lea & Flood, 2014).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `least` to `most`.
    fn number(&mut self, least: usize, most: usize) -> usize {
        least + (self.next() % (most - least + 1) as u64) as usize
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.number(0, 99) < chance
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.number(0, of.len() - 1)]
    }
}

/// What the images of a folder are for.
#[derive(Clone)]
enum Use {
    Train,
    Test,
    /// Trained on, but for those of a class that are held out.
    Drawn,
    Over(String),
}

impl Use {
    fn fate(&self, class: Option<&str>) -> Fate {
        match (self, class) {
            (Self::Over(place), _) => over(place),
            (Self::Drawn, Some(class)) => drawn(class),
            (Self::Train, Some(class)) => train(class),
            (Self::Test, Some(class)) => test(class),
            (Self::Train | Self::Drawn, None) => Fate::Train(None),
            (Self::Test, None) => Fate::Test(None),
        }
    }

    /// An image of a class without training images.
    fn stranger(&self, class: &str) -> Fate {
        match self {
            Self::Over(place) => over(place),
            _ => Fate::Stranger(class.to_owned()),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Over(_))
    }

    /// Images that are left out and named, if their folder is read.
    fn listed(&self) -> Fate {
        match self {
            Self::Over(place) => over(place),
            _ => Fate::Listed,
        }
    }
}

struct Maker {
    draws: Draws,
    corpus: Corpus,
    /// In lower case, since some file systems ignore case.
    names: HashSet<String>,
    files: usize,
}

/// The layout of a seed.
pub fn layout(seed: u64) -> Corpus {
    let mut maker =
        Maker { draws: Draws(seed), corpus: Corpus::new(), names: HashSet::new(), files: 0 };
    let root = maker.wrapping();
    match seed % 6 {
        0 => maker.flat(&root, &Use::Train),
        1 => maker.only_classes(&root),
        2 | 3 => maker.splits(&root),
        4 => maker.classes_beside_tests(&root),
        _ => maker.splits_in_classes(&root),
    }
    maker.noise(&root, false);
    maker.corpus.root = root;
    maker.corpus
}

impl Maker {
    /// A name that no other folder has.
    fn name(&mut self) -> String {
        let long = ["long ".repeat(40), "ö".repeat(110)];
        let mut name = match self.draws.number(0, 39) {
            n @ 0..2 => long[n].trim_end().to_owned(),
            _ => self.draws.pick(&NAMES).to_owned(),
        };
        while !self.names.insert(name.to_lowercase()) {
            name += &self.draws.number(0, 9).to_string();
        }
        name
    }

    fn new_names(&mut self, least: usize, most: usize) -> Vec<String> {
        (0..self.draws.number(least, most)).map(|_| self.name()).collect()
    }

    /// A split word in lower, upper or mixed case.
    fn cased(&mut self, word: &str) -> String {
        match self.draws.number(0, 3) {
            0 => word.to_uppercase(),
            1 => word[..1].to_uppercase() + &word[1..],
            _ => word.to_owned(),
        }
    }

    fn file_name(&mut self) -> String {
        self.files += 1;
        let before = ["", "IMG_", "photo (", "ä", "a.b.", "train", "test-", " ", "ABC", "x.tar."];
        let before = self.draws.pick(&before);
        let filling = if self.draws.percent(3) { "n".repeat(200) } else { String::new() };
        let extension = self.draws.pick(&EXTENSIONS);
        let extension = self.cased(extension);
        format!("{before}{filling}{}.{extension}", self.files)
    }

    /// A folder, or one some levels below.
    fn below(&mut self, folder: &str) -> String {
        let levels = if self.draws.percent(25) { self.draws.number(1, 4) } else { 0 };
        (0..levels).fold(folder.to_owned(), |path, _| join(&path, &self.name()))
    }

    /// Folders that hold only the next folder and irrelevant files.
    fn wrapping(&mut self) -> String {
        let levels = if self.draws.percent(40) { self.draws.number(1, 3) } else { 0 };
        let mut root = String::new();
        for _ in 0..levels {
            if self.draws.percent(30) {
                self.corpus.other_elsewhere(&join(&root, "README.md"));
            }
            root = join(&root, &self.name());
        }
        root
    }

    fn put(&mut self, folder: &str, fate: Fate) {
        let path = join(folder, &self.file_name());
        self.corpus.image(&path, fate);
    }

    /// Other contents of folders: files of other kinds, and hidden files of systems.
    fn noise(&mut self, folder: &str, is_over: bool) {
        for other in ["notes.txt", "IMG_1.HEIC", "clip.mp4", "LICENSE", "old.png~", "a.JSON"] {
            let path = join(folder, other);
            if self.draws.percent(6) && !self.corpus.at(&path).exists() {
                match is_over {
                    true => self.corpus.other_elsewhere(&path),
                    false => self.corpus.other(&path),
                };
            }
        }
        let hidden = [".DS_Store", "._1.png", ".cache/1.png", "__MACOSX/1.png", "SHA256SUMS"];
        for hidden in hidden {
            if self.draws.percent(4) {
                self.corpus.bytes(&join(folder, hidden), b"hidden");
            }
        }
    }

    fn damage(&mut self, folder: &str, fate: Fate) {
        let kinds = [Damage::Cut, Damage::Junk, Damage::Empty];
        let damage = kinds[self.draws.number(0, 2)];
        let path = join(folder, &self.file_name());
        self.corpus.damaged(&path, damage, fate);
    }

    #[cfg(unix)]
    fn links(&mut self, folder: &str, fate: &Fate) {
        let name = |maker: &mut Self, extension: &str| {
            maker.files += 1;
            join(folder, &format!("link {}{extension}", maker.files))
        };
        if self.draws.percent(8) {
            let path = name(self, ".jpg");
            self.corpus.link_out(&path, fate.clone());
        }
        if self.draws.percent(6) {
            let (path, count) = (name(self, ""), self.draws.number(1, 3));
            self.corpus.folder_link_out(&path, count, fate.clone());
        }
        if self.draws.percent(6) {
            let path = name(self, ".png");
            self.corpus.link_listed(&path, std::path::Path::new("nowhere.png"));
        }
        if self.draws.percent(4) {
            let path = name(self, "");
            let target = self.corpus.at(folder);
            self.corpus.link_listed(&path, &target);
        }
    }

    #[cfg(not(unix))]
    fn links(&mut self, _folder: &str, _fate: &Fate) {}

    /// Images of one class or of none, with any faults among them.
    fn fill(&mut self, folder: &str, count: usize, usage: &Use, fate: &Fate) {
        for _ in 0..count {
            let place = self.below(folder);
            self.put(&place, fate.clone());
        }
        if self.draws.percent(8) {
            let place = self.below(folder);
            self.damage(&place, fate.clone());
        }
        if !usage.is_over() && !matches!(fate, Fate::Stranger(_)) {
            self.links(folder, fate);
        }
        self.noise(folder, usage.is_over());
    }

    /// Class folders, and sometimes a few pictures beside them.
    fn classes(&mut self, folder: &str, names: &[String], most: usize, usage: &Use) {
        let mut images = 0;
        for name in names {
            let count = self.draws.number(1, most);
            images += count;
            self.fill(&join(folder, name), count, usage, &usage.fate(Some(name)));
        }
        if self.draws.percent(30) {
            // Well below a tenth.
            for _ in 0..images / 14 {
                self.put(folder, usage.listed());
            }
        }
    }

    /// Images without classes: more than a tenth lie in the folder itself.
    fn flat(&mut self, folder: &str, usage: &Use) {
        let fate = usage.fate(None);
        let below = if self.draws.percent(50) { self.draws.number(1, 12) } else { 0 };
        for _ in 0..self.draws.number(2, 12) + below / 2 {
            self.put(folder, fate.clone());
        }
        let folders = self.new_names(1, 3);
        for _ in 0..below {
            let place = &folders[self.draws.number(0, folders.len() - 1)];
            let place = self.below(&join(folder, place));
            self.put(&place, fate.clone());
        }
        if self.draws.percent(20) {
            self.damage(folder, fate.clone());
        }
        if !usage.is_over() {
            self.links(folder, &fate);
        }
        self.noise(folder, usage.is_over());
    }

    fn only_classes(&mut self, root: &str) {
        let names = self.new_names(2, 5);
        self.classes(root, &names, 25, &Use::Drawn);
        self.run_folder(root);
    }

    /// A training folder, test folders, and what lies beside them.
    fn splits(&mut self, root: &str) {
        let pair = match self.draws.percent(35) {
            true => PAIRS[self.draws.number(0, PAIRS.len() - 1)],
            false => ["", ""],
        };
        let named = |maker: &mut Self, word: &str| {
            let word = maker.cased(word);
            format!("{}{word}{}", pair[0], pair[1])
        };
        let training = self.draws.pick(&["train", "training"]);
        let training = named(self, training);
        let labelled = self.draws.percent(75);
        // Without a test folder, only the word by itself tells.
        let least = usize::from(pair != ["", ""]);
        let tests: Vec<(String, bool)> = self
            .test_words(least)
            .into_iter()
            .map(|word| (named(self, word), labelled && self.draws.percent(60)))
            .collect();
        let classes = self.new_names(2, 5);
        let chosen = chosen(&tests, labelled);
        let usage = if labelled && chosen.is_none() { Use::Drawn } else { Use::Train };
        let inner = self.wrapped_split(&join(root, &training), &training);
        match labelled {
            true => self.classes(&inner, &classes, 15, &usage),
            false => self.flat(&inner, &usage),
        }
        self.tests(root, &tests, chosen, &classes);
        for name in self.beside() {
            let usage = Use::Over(format!("{name}/"));
            self.flat(&join(root, &name), &usage);
        }
        if self.draws.percent(30) {
            self.put(root, Fate::Listed);
        }
        self.run_folder(root);
    }

    /// Sometimes an archive of a split adds a folder of its own name.
    fn wrapped_split(&mut self, split: &str, name: &str) -> String {
        match self.draws.percent(15) {
            true => join(split, name),
            false => split.to_owned(),
        }
    }

    /// Names of folders that are no split.
    fn beside(&mut self) -> Vec<String> {
        if self.draws.percent(30) { self.new_names(1, 2) } else { Vec::new() }
    }

    /// Some words in the order of preference.
    fn test_words(&mut self, least: usize) -> Vec<&'static str> {
        let count = self.draws.number(least, 3);
        let mut words = TESTS.to_vec();
        while words.len() > count {
            words.remove(self.draws.number(0, words.len() - 1));
        }
        words
    }

    /// Test folders. The labelled ones have some classes of training, and perhaps another one.
    fn tests(
        &mut self,
        root: &str,
        tests: &[(String, bool)],
        chosen: Option<usize>,
        classes: &[String],
    ) {
        for (place, (name, labelled)) in tests.iter().enumerate() {
            let folder = join(root, name);
            let usage = match chosen == Some(place) {
                true => Use::Test,
                false => Use::Over(format!("{name}/")),
            };
            if !labelled {
                self.flat(&folder, &usage);
                continue;
            }
            let known = self.draws.number(2, classes.len());
            self.classes(&folder, &classes[..known], 6, &usage);
            if self.draws.percent(25) {
                let name = self.name();
                for _ in 0..self.draws.number(1, 3) {
                    self.put(&join(&folder, &name), usage.stranger(&name));
                }
            }
        }
    }

    /// Classes, and beside them a folder to be tested on.
    fn classes_beside_tests(&mut self, root: &str) {
        let classes = self.new_names(2, 4);
        let words = self.test_words(1);
        let tests: Vec<(String, bool)> =
            words.into_iter().map(|word| (self.cased(word), self.draws.percent(60))).collect();
        let chosen = chosen(&tests, true);
        let usage = if chosen.is_none() { Use::Drawn } else { Use::Train };
        self.classes(root, &classes, 15, &usage);
        self.tests(root, &tests, chosen, &classes);
        self.run_folder(root);
    }

    /// Class folders with a training and a test folder each.
    fn splits_in_classes(&mut self, root: &str) {
        let [training, testing] = [&["train", "training"][..], &TESTS].map(|words| {
            let word = self.draws.pick(words);
            self.cased(word)
        });
        for (place, class) in self.new_names(2, 4).iter().enumerate() {
            let folder = join(root, class);
            let count = self.draws.number(1, 8);
            self.fill(&join(&folder, &training), count, &Use::Train, &train(class));
            if place == 0 || self.draws.percent(70) {
                let count = self.draws.number(1, 4);
                self.fill(&join(&folder, &testing), count, &Use::Test, &test(class));
            }
        }
        self.run_folder(root);
    }

    /// The files of an earlier run beside its training images.
    fn run_folder(&mut self, root: &str) {
        if !self.draws.percent(15) {
            return;
        }
        let name = self.name();
        let run = join(root, &name);
        self.corpus.other_elsewhere(&join(&run, "config.toml"));
        let [a, b] = match self.draws.percent(50) {
            true => ["checkpoints/step-1.safetensors", "report.html"],
            false => ["metrics.jsonl", "summary.json"],
        };
        self.corpus.other_elsewhere(&join(&run, a)).other_elsewhere(&join(&run, b));
        self.corpus.image(&join(&run, "neighbours.png"), over(&format!("{name}/")));
    }
}

/// Which of the test folders is tested on. It is known which are labelled.
fn chosen(tests: &[(String, bool)], labelled: bool) -> Option<usize> {
    match labelled {
        true => tests.iter().position(|(_, labelled)| *labelled),
        false => (!tests.is_empty()).then_some(0),
    }
}
