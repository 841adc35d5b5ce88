//! Which folders are classes, and what is held out of them.

use selfsame_data::Untested;

use super::corpus::{Corpus, Fate, drawn, over, test, train};

#[test]
fn classes_are_the_first_folders_with_images_at_any_depth() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 4, drawn("cat"));
    corpus.images("dog/indoor/sofa", 3, drawn("dog")).images("dog/outdoor", 2, drawn("dog"));
    corpus.images("x.png", 2, drawn("x.png")).images("Ünïcode 🐈", 2, drawn("Ünïcode 🐈"));
    corpus.other("notes/todo.txt");
    corpus.check();
}

#[test]
fn every_tenth_image_of_a_class_is_held_out_and_the_last_one_of_a_small_class() {
    let mut corpus = Corpus::new();
    corpus.images("a", 25, drawn("a")).images("b", 10, drawn("b")).images("c", 9, drawn("c"));
    corpus.images("d", 3, drawn("d")).images("e", 2, drawn("e")).images("f", 1, drawn("f"));
    let held = corpus.check().test.unwrap();
    let name = |i| {
        let path = held.path(i).unwrap();
        let class = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        format!("{class}{}", path.file_stem().unwrap().to_str().unwrap())
    };
    let names: Vec<String> = (0..held.len()).map(name).collect();
    assert_eq!(names, ["a009", "a019", "b009", "c008", "d002", "e001"]);
}

#[test]
fn classes_of_three_images_can_be_tested_on() {
    let mut corpus = Corpus::new();
    for class in ["ann", "bob", "cem", "dana"] {
        corpus.images(class, 3, drawn(class));
    }
    let splits = corpus.check();
    assert_eq!((splits.train.len(), splits.test.unwrap().len()), (8, 4));
}

#[test]
fn classes_of_one_image_cannot_be_tested_on() {
    let mut corpus = Corpus::new();
    for class in ["ann", "bob", "cem"] {
        corpus.images(class, 1, drawn(class));
    }
    let splits = corpus.check();
    assert!(matches!(splits.untested(), Some(Untested::TooFew { images: 3, most: 1 })));
}

#[test]
fn one_class_folder_is_no_class() {
    for folder in ["cats", "a/b/c", "train/cats"] {
        let mut corpus = Corpus::new();
        corpus.images(folder, 12, Fate::Train(None));
        corpus.root = if folder.starts_with("train") { String::new() } else { folder.into() };
        let splits = corpus.check();
        assert!(splits.test.is_none() && splits.train.class_names().is_empty(), "{folder}");
        assert!(splits.untested().is_some());
    }
}

/// A cover picture, a sheet of examples.
#[test]
fn a_picture_beside_the_class_folders_takes_no_label_away() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 5, drawn("cat")).images("dog", 4, drawn("dog"));
    // A tenth of all.
    corpus.image("cover.jpg", Fate::Listed);
    let splits = corpus.check();
    assert!(splits.skipped[0].reason.contains("class"), "{:?}", splits.skipped);
}

#[test]
fn pictures_beside_the_folders_of_a_split_are_counted_there() {
    let mut corpus = Corpus::new();
    corpus.images("train/cat", 10, train("cat")).images("train/dog", 10, train("dog"));
    corpus.image("train/cover.jpg", Fate::Listed);
    corpus.images("test/cat", 10, test("cat")).images("test/dog", 10, test("dog"));
    corpus.image("test/1.jpg", Fate::Listed).image("test/2.jpg", Fate::Listed);
    corpus.check();
}

#[test]
fn more_than_a_tenth_of_pictures_beside_the_folders_are_used_without_classes() {
    let mut corpus = Corpus::new();
    for folder in ["2019", "2020"] {
        corpus.images(folder, 4, Fate::Train(None));
    }
    corpus.image("1.jpg", Fate::Train(None));
    let splits = corpus.check();
    let Some(untested @ Untested::NoLabels(_)) = splits.untested() else {
        panic!("{:?}", splits.untested())
    };
    let why = untested.to_string();
    assert!(why.contains('1') && why.contains("class"), "{why}");
    assert!(splits.test.is_none());
}

#[test]
fn images_at_any_depth_without_classes() {
    let mut corpus = Corpus::new();
    corpus.images("", 6, Fate::Train(None)).images("a/b/c", 6, Fate::Train(None));
    let why = corpus.check().untested().unwrap().to_string();
    assert!(!why.is_empty() && !why.contains('\n'), "{why}");
}

/// A run in the folder of its images: the next run would train on its pictures.
#[test]
fn a_run_s_own_folder_is_passed_over() {
    for file in ["metrics.jsonl", "checkpoints/step-0000000006.safetensors"] {
        let mut corpus = Corpus::new();
        corpus.images("", 12, Fate::Train(None));
        corpus.other_elsewhere("run/config.toml").other_elsewhere(&format!("run/{file}"));
        corpus.image("run/neighbours.png", over("run/"));
        corpus.check();

        let mut classes = Corpus::new();
        classes.images("cat", 12, drawn("cat")).images("dog", 12, drawn("dog"));
        classes.other_elsewhere("byol-1/config.toml").other_elsewhere(&format!("byol-1/{file}"));
        classes.image("byol-1/neighbours.png", over("byol-1/"));
        classes.check();
    }
    // A configuration alone is no run.
    let mut corpus = Corpus::new();
    corpus.images("cat", 3, drawn("cat")).images("dog", 3, drawn("dog")).other("dog/config.toml");
    corpus.check();
}

#[test]
fn an_empty_folder_is_refused_in_one_line() {
    let mut corpus = Corpus::new();
    corpus.bytes("a/notes.txt", b"");
    let line = corpus.refusal();
    assert!(line.contains("my photos"), "{line}");
    corpus.bytes("a/broken.png", b"no");
    let line = corpus.refusal();
    assert!(line.contains("broken.png"), "{line}");
}
