//! Which files are read, which are ignored, and which are unreadable.

use super::corpus::{Corpus, Damage, EXTENSIONS, Fate, drawn, over, test, train};

#[test]
fn all_extensions_are_read_in_any_case() {
    let mut corpus = Corpus::new();
    for extension in EXTENSIONS {
        corpus.image(&format!("1.{extension}"), Fate::Train(None));
        corpus.image(&format!("2.{}", extension.to_uppercase()), Fate::Train(None));
        corpus.image(&format!("3.tar.Gz.{extension}"), Fate::Train(None));
    }
    let splits = corpus.check();
    assert_eq!(splits.train.len(), 3 * EXTENSIONS.len());
}

/// Netpbm's formats, which its extensions promise.
#[test]
fn netpbm_files_are_decoded() {
    let corpus = Corpus::new();
    let files: [(&str, &[u8], [u8; 3]); 4] = [
        ("a.ppm", b"P6 2 1 255\n\x01\x02\x03\x01\x02\x03", [1, 2, 3]),
        ("b.pgm", b"P5 2 1 255\n\x07\x07", [7, 7, 7]),
        ("c.pbm", b"P4 2 1\n\x00", [255, 255, 255]),
        ("d.pnm", b"P3 2 1 255\n4 5 6 4 5 6\n", [4, 5, 6]),
    ];
    for (name, bytes, _) in files {
        super::corpus::write(&corpus.at(name), bytes);
    }
    let splits = corpus.try_open().unwrap();
    assert_eq!(splits.skipped, []);
    for (index, (name, _, pixel)) in files.into_iter().enumerate() {
        let image = splits.train.image(index).unwrap();
        assert_eq!((image.dimensions(), image.get_pixel(1, 0).0), ((2, 1), pixel), "{name}");
    }
}

#[test]
fn files_that_are_not_read_are_counted_by_extension() {
    let mut corpus = Corpus::new();
    corpus.images("", 5, Fate::Train(None));
    for i in 0..30 {
        corpus.other(&format!("IMG_{i}.HEIC"));
    }
    let remarks = corpus.check().layout.remarks();
    assert_eq!(remarks, ["30 files with extensions that are not read: .heic 30"]);

    corpus.other("README").other("deep/clip.MP4").other("clip.mp4");
    let remarks = corpus.check().layout.remarks();
    let line = "33 files with extensions that are not read: .heic 30, .mp4 2, none 1";
    assert_eq!(remarks, [line]);
}

#[test]
fn a_folder_of_nothing_but_photographs_of_a_telephone_is_refused_and_says_why() {
    let mut corpus = Corpus::new();
    for i in 0..4 {
        corpus.other(&format!("IMG_{i}.HEIC"));
    }
    let line = corpus.refusal();
    assert!(line.to_lowercase().contains("heic"), "{line}");
}

#[test]
fn hidden_files_and_what_archives_bring_along_do_not_count() {
    let mut corpus = Corpus::new();
    corpus.images("cat", 3, drawn("cat")).images("dog", 3, drawn("dog"));
    for path in [
        ".DS_Store",
        "._cover.png",
        ".git/objects/1.png",
        "__MACOSX/cat/._1.png",
        "cat/.thumbnails/1.png",
        "cat/__MACOSX/1.png",
        "SHA256SUMS",
    ] {
        corpus.image(path, Fate::Ignored);
    }
    let splits = corpus.check();
    assert_eq!(splits.layout.remarks(), [""; 0]);
}

#[test]
fn unreadable_images_are_named_wherever_they_lie() {
    let mut corpus = Corpus::new();
    for (split, fate) in [("train", train as fn(&str) -> Fate), ("test", test)] {
        for class in ["cat", "dog"] {
            let folder = format!("{split}/{class}");
            corpus.images(&folder, 4, fate(class));
            corpus.damaged(&format!("{folder}/cut.png"), Damage::Cut, fate(class));
            corpus.damaged(&format!("{folder}/junk.jpg"), Damage::Junk, fate(class));
            corpus.damaged(&format!("{folder}/empty.gif"), Damage::Empty, fate(class));
        }
    }
    corpus.damaged("val/cut.png", Damage::Cut, over("val/"));
    let splits = corpus.check();
    assert_eq!(splits.skipped.len(), 12);
}

/// Held-out images are drawn from the readable ones.
#[test]
fn unreadable_images_do_not_count_when_some_are_held_out() {
    let mut corpus = Corpus::new();
    for class in ["cat", "dog"] {
        for i in 0..10 {
            corpus.damaged(&format!("{class}/a{i}.png"), Damage::Junk, drawn(class));
        }
        corpus.images(class, 10, drawn(class));
    }
    let splits = corpus.check();
    assert_eq!((splits.train.len(), splits.test.unwrap().len()), (18, 2));
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_named_and_never_waited_for() {
    let mut corpus = Corpus::new();
    corpus.images("", 3, Fate::Train(None));
    let made = std::process::Command::new("mkfifo").arg(corpus.at("pipe.png")).status();
    assert!(made.unwrap().success());
    let pipe = super::corpus::Entry { path: "pipe.png".into(), id: None, fate: Fate::Listed };
    corpus.entries.push(pipe);
    let splits = corpus.check();
    assert!(splits.skipped[0].reason.contains("not a regular file"), "{:?}", splits.skipped);
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_unicode_are_read() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let corpus = Corpus::new();
    let name = |text: &[u8]| OsString::from_vec(text.to_vec());
    let mut files = Vec::new();
    for (id, class) in [&b"caf\xe9"[..], b"cafe"].into_iter().cycle().take(6).enumerate() {
        let file = name(&[b"\xff", &[b'0' + id as u8], &b".png"[..]].concat());
        files.push(corpus.path().join(name(class)).join(file));
        super::corpus::write(&files[id], &super::corpus::png(id as u32));
    }
    let splits = corpus.try_open().unwrap();
    assert_eq!(splits.skipped, []);
    assert_eq!(splits.train.class_names().len(), 2);
    let mut found = Vec::new();
    for set in [&splits.train, splits.test.as_ref().unwrap()] {
        for index in 0..set.len() {
            let id = super::corpus::id(&set.image(index).unwrap()).unwrap() as usize;
            assert_eq!(set.path(index).unwrap(), files[id]);
            found.push(id);
        }
    }
    found.sort_unstable();
    assert_eq!(found, [0, 1, 2, 3, 4, 5]);
}
