//! Which folders are trained on, and which are tested on.

use selfsame_data::Untested;

use super::corpus::{Corpus, Fate, drawn, over, test, train};

/// `count` images in each of the class folders `cat` and `dog` of a folder.
fn cats_and_dogs(corpus: &mut Corpus, folder: &str, count: usize, fate: fn(&str) -> Fate) {
    for class in ["cat", "dog"] {
        corpus.images(&format!("{folder}/{class}"), count, fate(class));
    }
}

#[test]
fn imagenet_is_tested_on_its_validation_images_since_its_test_images_have_no_labels() {
    let mut corpus = Corpus::new();
    for class in ["n01440764", "n01443537", "n01484850"] {
        for i in 0..5 {
            corpus.image(&format!("train/{class}/{class}_{i}.JPEG"), train(class));
        }
        corpus.image(&format!("val/{class}/ILSVRC2012_val_{class}.JPEG"), test(class));
    }
    for i in 0..7 {
        corpus.image(&format!("test/ILSVRC2012_test_{i:08}.JPEG"), over("test/"));
    }
    let splits = corpus.check();
    assert!(splits.layout.test.unwrap().contains("val"));
    let over = &splits.layout.passed_over[0];
    assert!(over.reason.contains("label") && over.to_string().contains("7 images"), "{over}");
}

#[test]
fn split_folders_are_known_by_their_words_in_any_case() {
    for (training, testing) in [
        ("train", "test"),
        ("train", "testing"),
        ("train", "val"),
        ("train", "valid"),
        ("train", "validation"),
        ("train", "dev"),
        ("train", "eval"),
        ("Train", "Test"),
        ("TRAIN", "Val"),
        ("training", "testing"),
        ("Training", "test"),
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("train2017", "val2017"),
        ("Fruit Training Images", "Fruit Validation Images"),
        ("images-train", "images-dev"),
    ] {
        let mut corpus = Corpus::new();
        cats_and_dogs(&mut corpus, training, 4, train);
        cats_and_dogs(&mut corpus, testing, 2, test);
        let splits = corpus.check();
        assert_eq!(splits.train.class_names(), ["cat", "dog"], "{training} {testing}");
    }
}

#[test]
fn names_that_only_remind_of_a_split_are_classes() {
    let mut corpus = Corpus::new();
    for class in ["contest", "latest", "test tubes", "train station", "trainer", "validated"] {
        corpus.images(class, 3, drawn(class));
    }
    corpus.check();
}

#[test]
fn the_first_word_of_several_test_folders_is_tested_on() {
    let mut corpus = Corpus::new();
    cats_and_dogs(&mut corpus, "train", 4, train);
    cats_and_dogs(&mut corpus, "test", 2, test);
    cats_and_dogs(&mut corpus, "val", 3, |_| over("val/"));
    cats_and_dogs(&mut corpus, "dev", 1, |_| over("dev/"));
    corpus.check();
}

#[test]
fn training_images_are_held_out_where_no_test_image_has_a_label() {
    let mut corpus = Corpus::new();
    cats_and_dogs(&mut corpus, "train", 20, drawn);
    corpus.images("test", 6, over("test/")).images("val", 2, over("val/"));
    let splits = corpus.check();
    assert_eq!((splits.train.len(), splits.test.unwrap().len()), (36, 4));
}

#[test]
fn a_training_folder_alone_is_held_out_of() {
    let mut corpus = Corpus::new();
    cats_and_dogs(&mut corpus, "train", 10, drawn);
    std::fs::create_dir(corpus.at("test")).unwrap();
    corpus.bytes("test/.gitkeep", b"");
    corpus.check();
}

#[test]
fn unlabelled_images_beside_an_unlabelled_test_folder() {
    let mut corpus = Corpus::new();
    corpus.images("train", 5, Fate::Train(None)).images("val", 2, Fate::Test(None));
    let splits = corpus.check();
    assert!(matches!(splits.untested(), Some(Untested::NoLabels(_))));
}

#[test]
fn what_lies_beside_the_split_folders_is_told() {
    let mut corpus = Corpus::new();
    cats_and_dogs(&mut corpus, "train", 4, train);
    cats_and_dogs(&mut corpus, "test", 2, test);
    corpus.images("unlabeled", 9, over("unlabeled/")).images("extra/deep/er", 2, over("extra/"));
    corpus.image("cover.jpg", Fate::Listed).image("sample.png", Fate::Listed);
    let splits = corpus.check();
    let remarks = splits.layout.remarks().join("\n");
    assert!(remarks.contains("unlabeled/: 9 images not used"), "{remarks}");
}

#[test]
fn test_images_of_classes_that_training_lacks_have_no_label_and_are_counted() {
    let mut corpus = Corpus::new();
    cats_and_dogs(&mut corpus, "train", 4, train);
    cats_and_dogs(&mut corpus, "test", 2, test);
    corpus.images("test/ant", 2, Fate::Stranger("ant".into()));
    corpus.images("test/yak", 3, Fate::Stranger("yak".into()));
    let remarks = corpus.check().layout.remarks().join("\n");
    assert!(remarks.contains("5 test images") && remarks.contains("ant, yak"), "{remarks}");
}

/// A small test folder need not have images of every class.
#[test]
fn one_class_folder_in_the_test_folder_is_a_class_where_training_has_it() {
    let mut corpus = Corpus::new();
    cats_and_dogs(&mut corpus, "train", 4, train);
    corpus.images("val/dog", 3, test("dog"));
    corpus.check();
}

/// CIFAR-100 and COCO have one.
#[test]
fn a_class_may_be_called_train() {
    let mut corpus = Corpus::new();
    for class in ["apple", "test", "train"] {
        corpus.images(&format!("train/{class}"), 4, train(class));
        corpus.images(&format!("test/{class}"), 2, test(class));
    }
    corpus.check();
}

#[test]
fn without_a_training_folder_the_others_are_trained_on_and_the_test_folder_never() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 4, train("cat")).images("dog", 3, train("dog"));
    cats_and_dogs(&mut corpus, "Test", 2, test);
    corpus.images("val", 3, over("val/"));
    corpus.check();

    let mut unlabelled = Corpus::new();
    unlabelled.images("cat", 4, drawn("cat")).images("dog", 3, drawn("dog"));
    unlabelled.images("test", 3, over("test/"));
    unlabelled.check();

    let mut one_folder = Corpus::new();
    cats_and_dogs(&mut one_folder, "photos", 4, train);
    cats_and_dogs(&mut one_folder, "test", 2, test);
    one_folder.check();
}

#[test]
fn pictures_beside_a_test_folder_alone_are_trained_on_without_it() {
    let mut corpus = Corpus::new();
    corpus.images("", 6, Fate::Train(None)).images("test", 3, Fate::Test(None));
    corpus.check();
}

#[test]
fn test_folders_alone_are_refused() {
    let mut corpus = Corpus::new();
    cats_and_dogs(&mut corpus, "test", 2, test);
    cats_and_dogs(&mut corpus, "val", 2, test);
    let line = corpus.refusal();
    assert!(line.contains("test") && line.contains("val"), "{line}");
}

#[test]
fn two_training_folders_are_refused() {
    for [a, b] in [["train", "Training"], ["training", "train"]] {
        let mut corpus = Corpus::new();
        cats_and_dogs(&mut corpus, a, 2, train);
        cats_and_dogs(&mut corpus, b, 2, train);
        cats_and_dogs(&mut corpus, "test", 2, test);
        let line = corpus.refusal();
        assert!(line.contains(a) && line.contains(b), "{line}");
    }
}

#[test]
fn splits_inside_of_the_class_folders() {
    let mut corpus = Corpus::new();
    for class in ["bottle", "cable", "screw"] {
        corpus.images(&format!("{class}/train/good"), 5, train(class));
        corpus.images(&format!("{class}/test/broken"), 2, test(class));
    }
    corpus.check();

    // Images in neither split are reported with their number, whatever the name of their place.
    corpus.images("cable/masks", 4, Fate::Ignored);
    let splits = corpus.try_open().unwrap();
    assert_eq!((splits.train.len(), splits.test.unwrap().len()), (15, 6));
    let over: u64 = splits.layout.passed_over.iter().map(|over| over.images).sum();
    assert_eq!(over, 4, "{:?}", splits.layout.passed_over);
}

#[test]
fn a_folder_of_yolo_has_images_without_classes() {
    let mut corpus = Corpus::new();
    corpus.root = "images".into();
    corpus.images("images/train", 6, Fate::Train(None));
    corpus.images("images/val", 3, Fate::Test(None));
    for i in 0..6 {
        corpus.other_elsewhere(&format!("labels/train/{i:03}.txt"));
    }
    corpus.other_elsewhere("data.yaml");
    let splits = corpus.check();
    let why = splits.untested().unwrap().to_string();
    assert!(!why.is_empty() && !why.contains('\n'), "{why}");
}

#[test]
fn folders_around_the_splits_and_inside_of_them_are_looked_through() {
    let mut corpus = Corpus::new();
    corpus.root = "archive/Cats and Dogs".into();
    corpus.other_elsewhere("archive/readme.txt").other_elsewhere("archive.csv");
    let root = "archive/Cats and Dogs";
    cats_and_dogs(&mut corpus, &format!("{root}/training_set/training_set"), 4, train);
    cats_and_dogs(&mut corpus, &format!("{root}/test_set/test_set"), 2, test);
    corpus.check();
}

#[test]
fn the_order_of_the_images_is_that_of_their_paths_each_time() {
    let mut corpus = Corpus::new();
    for file in ["b/9.png", "b/10.png", "a/z/1.png", "a/y.png", "a-/1.png", "B/1.png"] {
        corpus.image(&format!("train/{file}"), train(&file[..file.find('/').unwrap()]));
        corpus.image(&format!("test/{file}"), test(&file[..file.find('/').unwrap()]));
    }
    let order = |corpus: &Corpus| {
        let set = corpus.check().train;
        let short = |i| set.path(i).unwrap().strip_prefix(corpus.at("train")).unwrap().to_owned();
        (0..set.len()).map(short).map(|path| path.display().to_string()).collect::<Vec<_>>()
    };
    let first = order(&corpus);
    assert_eq!(first, ["B/1.png", "a/y.png", "a/z/1.png", "a-/1.png", "b/10.png", "b/9.png"]);
    assert_eq!(order(&corpus), first);
}

/// A picture or a folder beside the folder with the splits changes nothing.
#[test]
fn splits_further_down_are_found_and_what_lies_beside_them_is_told() {
    let mut corpus = Corpus::new();
    corpus.images("data/train/cat", 3, train("cat")).images("data/train/dog", 3, train("dog"));
    corpus.images("data/test/cat", 2, test("cat")).images("data/test/dog", 2, test("dog"));
    corpus.image("cover.png", Fate::Listed).images("README_files", 2, over("README_files/"));
    corpus.root = "data".into();
    corpus.check();
}

#[test]
fn a_train_folder_in_a_train_folder_has_the_splits() {
    let mut corpus = Corpus::new();
    corpus.images("train/train/cat", 3, train("cat")).images("train/train/dog", 3, train("dog"));
    corpus.images("train/test/cat", 2, test("cat")).images("train/test/dog", 2, test("dog"));
    corpus.root = "train".into();
    corpus.check();
}

#[test]
fn splits_two_levels_below_the_classes() {
    let mut corpus = Corpus::new();
    for (class, kinds) in [("animals", ["cat", "dog"]), ("plants", ["rose", "fern"])] {
        for kind in kinds {
            corpus.images(&format!("{class}/{kind}/train"), 3, train(class));
            corpus.images(&format!("{class}/{kind}/test"), 2, test(class));
        }
    }
    corpus.check();
}

#[test]
fn a_class_of_which_a_part_is_split_is_never_trained_on_with_its_test_images() {
    let mut corpus = Corpus::new();
    corpus.images("cat/train", 3, Fate::Train(None)).images("cat/test", 2, Fate::Test(None));
    corpus.images("dog", 3, over("dog/"));
    corpus.root = "cat".into();
    corpus.check();
}
