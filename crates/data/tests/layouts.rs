//! Folders of images as people have them: each image is used or reported, once, and with the right
//! label.
//!
//! `corpus` makes folders of images with a number in their pixels. `check` compares a reading of a
//! folder with the right one. The other modules are situations by name, and `random` draws hundreds
//! more.

#[path = "layouts/check.rs"]
mod check;
#[path = "layouts/classes.rs"]
mod classes;
#[path = "layouts/corpus.rs"]
mod corpus;
#[path = "layouts/files.rs"]
mod files;
#[cfg(unix)]
#[path = "layouts/links.rs"]
mod links;
#[path = "layouts/random.rs"]
mod random;
#[path = "layouts/shards.rs"]
mod shards;
#[path = "layouts/splits.rs"]
mod splits;

/// `SELFSAME_LAYOUTS=17..18` draws that layout alone, `0..5000` many more.
#[test]
fn every_image_of_random_layouts_is_used_or_listed_once_and_rightly_labelled() {
    let given = std::env::var("SELFSAME_LAYOUTS").unwrap_or("0..300".into());
    let (first, end) = given.split_once("..").unwrap();
    let seeds: std::ops::Range<u64> = first.parse().unwrap()..end.parse().unwrap();
    let mut failed = Vec::new();
    let mut report = String::new();
    for seed in seeds {
        let corpus = random::layout(seed);
        let problems = match corpus.try_open() {
            Ok(splits) => check::problems(&corpus, &splits),
            Err(error) => vec![error.to_string()],
        };
        if !problems.is_empty() {
            failed.push(seed);
            // The first ones are enough to read.
            if failed.len() <= 3 {
                report += &format!("layout {seed}:\n{}\n{}\n", problems.join("\n"), corpus.tree());
            }
        }
    }
    assert!(failed.is_empty(), "{report}wrong layouts: {failed:?}");
}
