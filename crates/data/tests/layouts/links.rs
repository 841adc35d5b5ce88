//! Symbolic links: to images and folders that lie elsewhere, in circles, and to nowhere.

use std::path::Path;

use selfsame_data::Links;

use super::corpus::{Corpus, Entry, Fate, drawn, join, symlink, test, train};

#[test]
fn links_out_of_the_folder_are_followed_and_counted() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 3, drawn("cat")).folder_link_out("dog", 12, drawn("dog"));
    corpus.link_out("cat/linked.JPG", drawn("cat"));
    corpus.folder_link_out("cat/more", 2, drawn("cat"));
    let remarks = corpus.check().layout.remarks();
    assert_eq!(remarks, ["3 symbolic links out of the folder: followed"]);
}

#[test]
fn split_folders_may_be_links() {
    let mut corpus = Corpus::new();
    for (split, fate) in [("train", train as fn(&str) -> Fate), ("val", test)] {
        for class in ["cat", "dog"] {
            for i in 0..3 {
                let (id, bytes) = corpus.next();
                let path = format!("{split}/{class}/{i}.png");
                super::corpus::write(&corpus.elsewhere(&path), &bytes);
                corpus.entries.push(Entry { path, id: Some(id), fate: fate(class) });
            }
        }
        symlink(&corpus.elsewhere(split), &corpus.at(split));
        corpus.links_out += 1;
    }
    corpus.check();
}

/// Links as tools make them that sort a pool of images into classes.
#[test]
fn a_folder_of_links_only() {
    let mut corpus = Corpus::new();
    for class in ["cat", "dog"] {
        for i in 0..4 {
            corpus.link_out(&format!("{class}/{i}.png"), drawn(class));
        }
    }
    corpus.check();
}

#[test]
fn the_folder_that_is_named_may_be_a_link_itself() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 3, drawn("cat")).images("dog", 3, drawn("dog"));
    let link = corpus.elsewhere("link");
    symlink(&corpus.path(), &link);
    let source = selfsame_data::Source::Folder(link);
    let splits = selfsame_data::open(&source, Path::new("datasets"), Links::Follow).unwrap();
    assert_eq!((splits.train.len(), splits.test.unwrap().len()), (4, 2));
    assert!(splits.skipped.is_empty() && splits.layout.links_out == 0, "{:?}", splits.layout);
}

#[test]
fn an_image_that_is_read_where_it_lies_is_not_read_through_a_link_again() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 3, drawn("cat")).images("dog", 3, drawn("dog"));
    let (file, folder) = (corpus.at("cat/000.jpg"), corpus.at("dog"));
    corpus.link_listed("cat/again.jpg", &file).link_listed("cat/a.png", Path::new("000.jpg"));
    corpus.link_listed("dogs", &folder);
    corpus.check();
}

#[test]
fn circles_end_at_the_link() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 3, drawn("cat")).images("dog/deep", 3, drawn("dog"));
    let root = corpus.path();
    corpus.link_listed("dog/deep/up", Path::new("..")).link_listed("dog/self", Path::new("."));
    corpus.link_listed("all", &root).link_listed("cat/me.png", Path::new("me.png"));
    corpus.check();
}

/// Through a folder elsewhere that has a link back.
#[test]
fn circles_through_other_folders_end_too() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 3, drawn("cat")).folder_link_out("dog", 3, drawn("dog"));
    let dog = std::fs::read_link(corpus.at("dog")).unwrap();
    for (name, target) in [("back", corpus.path()), ("itself", dog.clone())] {
        symlink(&target, &dog.join(name));
        let path = join("dog", name);
        corpus.entries.push(Entry { path, id: None, fate: Fate::Listed });
    }
    corpus.check();
}

#[test]
fn links_to_nowhere_are_named() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 3, drawn("cat")).images("dog", 3, drawn("dog"));
    corpus.link_listed("cat/gone.png", Path::new("/nonexistent/gone.png"));
    corpus.link_listed("dog/gone.jpeg", Path::new("not-here.jpeg"));
    corpus.check();
}

#[test]
fn of_two_links_to_one_image_one_is_followed() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 4, drawn("cat")).images("dog", 4, drawn("dog"));
    let target = corpus.elsewhere("one.png");
    super::corpus::write(&target, &super::corpus::png(999));
    for link in ["cat/x.png", "dog/y.png"] {
        symlink(&target, &corpus.at(link));
    }
    let splits = corpus.try_open().unwrap();
    assert_eq!(splits.train.len() + splits.test.unwrap().len(), 9);
    let listed: Vec<_> = splits.skipped.iter().map(|s| s.path.clone()).collect();
    assert!(
        listed == [corpus.at("cat/x.png")] || listed == [corpus.at("dog/y.png")],
        "{:?}",
        splits.skipped
    );
}

/// A folder that can be reached in two ways.
#[test]
fn of_two_links_to_one_folder_one_is_followed() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 4, drawn("cat"));
    corpus.images("dog", 4, drawn("dog"));
    let target = corpus.elsewhere("both");
    for i in 0..3 {
        super::corpus::write(&target.join(format!("{i}.png")), &super::corpus::png(900 + i));
    }
    for link in ["cat/more", "dog/more"] {
        symlink(&target, &corpus.at(link));
    }
    let splits = corpus.try_open().unwrap();
    assert_eq!(splits.train.len() + splits.test.unwrap().len(), 11);
    assert!(!splits.skipped.is_empty(), "nothing is told of the second link");
}

#[test]
fn links_can_be_left_out() {
    let mut corpus = Corpus::new();
    corpus.links = Links::Skip;
    corpus.images("cat", 3, drawn("cat")).images("dog", 3, drawn("dog"));
    let (image, folder) = (corpus.elsewhere("1.png"), corpus.elsewhere("folder"));
    super::corpus::write(&image, &super::corpus::png(900));
    super::corpus::write(&folder.join("2.png"), &super::corpus::png(901));
    corpus.link_listed("cat/1.png", &image).link_listed("yak", &folder);
    corpus.link_listed("dog/0.jpg", Path::new("000.jpg"));
    corpus.check();
}
