//! `selfsame dataset inspect`

use std::path::{Path, PathBuf};

use clap::Args;
use selfsame::data::{FileFormat, ImageDataset, Links, Source, Splits, list, open};
use serde_json::json;

use selfsame::settings::images_at;
use selfsame::workshop::words::{count, pasted, plain, shown};
use selfsame::workshop::{Sides, readable, usage};

use crate::Terminal;

/// The most images that are named. The rest are counted.
const SHOWN: usize = 10;
/// The most classes that are named.
const CLASSES: usize = 8;

/// Show how training would use a folder of images.
///
/// Shows the training and test images, their classes and sizes, and whether accuracy can be
/// measured. Lists the files that are left out, with the reason. FOLDER is what you would give to
/// --images: class folders; train/ and test/ or val/ with class folders; images without labels;
/// WebDataset shards; Parquet files. The name of a data set works, too.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame dataset inspect my-photos/
  selfsame dataset inspect my-photos/ --decode --json")]
pub struct InspectArgs {
    /// The folder, or the name of a data set.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Decode every image of a large set, too, to find unreadable images. Small sets are always
    /// decoded.
    #[arg(long)]
    decode: bool,
    /// Leave out symbolic links in the folder.
    #[arg(long)]
    no_follow_links: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &InspectArgs, root: &Path) -> anyhow::Result<()> {
    let links = if args.no_follow_links { Links::Skip } else { Links::Follow };
    let source = match args.folder.to_str() {
        Some(name) if !args.folder.exists() && known_name(name, root) => {
            Source::Named(name.to_owned())
        }
        _ => Source::Folder(images_at(&args.folder)?),
    };
    if let Source::Folder(folder) = &source
        && !folder.exists()
    {
        let name = folder.display();
        return Err(usage(format!("there is no folder and no data set {name}")));
    }
    if let Source::Named(name) = &source {
        selfsame::unpack_built_in(name)?;
    }
    let mut data = open(&source, root, links)?;
    let known = |data: &Splits| {
        data.train.unreadable().is_some()
            && data.test.as_ref().is_none_or(|test| test.unreadable().is_some())
    };
    let decoded = args.decode || known(&data);
    if args.decode {
        data = readable(data, &Terminal::new().voice())?;
    }
    let sides = Sides::of(&data)?;
    if args.json {
        let value = to_json(&data, &sides, decoded);
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        print!("{}", text(&data, &sides, decoded, &source));
    }
    Ok(())
}

fn known_name(name: &str, root: &Path) -> bool {
    list(root).is_ok_and(|entries| entries.iter().any(|entry| entry.name == name))
}

fn format_of(data: &Splits) -> &'static str {
    match data.layout.format {
        Some(FileFormat::ImageFolder) => "a folder of images",
        Some(FileFormat::WebDataset) => "WebDataset shards",
        Some(FileFormat::Parquet) => "Parquet files",
        Some(FileFormat::CifarBinary) => "CIFAR's binary files",
        Some(FileFormat::Idx) => "MNIST's IDX files",
        Some(FileFormat::Stl10) => "STL-10's binary files",
        Some(FileFormat::Svhn) => "SVHN's MATLAB files",
        Some(FileFormat::TinyImagenet) => "Tiny ImageNet's folders",
        Some(FileFormat::Drawn) => "images that the program draws",
        None => "a data set",
    }
}

/// Names and numbers of images of the classes that have some, and images without a label.
fn classes(set: &dyn ImageDataset) -> (Vec<(String, u64)>, u64) {
    let mut counts = vec![0; set.class_names().len()];
    let mut unlabelled = 0;
    for index in 0..set.len() {
        match set.label(index).and_then(|label| counts.get_mut(label as usize)) {
            Some(count) => *count += 1,
            None => unlabelled += 1,
        }
    }
    let named = set.class_names().iter().cloned().zip(counts);
    (named.filter(|(_, images)| *images > 0).collect(), unlabelled)
}

fn text(data: &Splits, sides: &Sides, decoded: bool, source: &Source) -> String {
    let layout = &data.layout;
    let mut out = match layout.root.as_os_str().is_empty() {
        true => format!("{}\n", plain(&data.name)),
        false => format!("{}\n", shown(&layout.root)),
    };
    let mut line = |name: &str, value: &str| out += &format!("  {name:<9} {}\n", plain(value));
    line("is", format_of(data));
    let split = |set: &dyn ImageDataset, place: &str, unknown: u64| {
        let (classes, unlabelled) = classes(set);
        let unlabelled = unlabelled.saturating_sub(unknown);
        let mut text = images(set.len());
        if !place.is_empty() {
            text += &format!(", {place}");
        }
        if classes.is_empty() {
            return vec![text + ", without labels"];
        }
        text += &format!(
            ", {}",
            match classes.len() {
                1 => "1 class".into(),
                n => format!("{n} classes"),
            }
        );
        if unknown > 0 {
            text += &format!(", {unknown} of classes without training images");
        }
        if unlabelled > 0 {
            text += &format!(", {unlabelled} without a label");
        }
        let mut names: Vec<String> =
            classes.iter().take(CLASSES).map(|(name, images)| format!("{name} {images}")).collect();
        if classes.len() > CLASSES {
            names.push(format!("and {} more", classes.len() - CLASSES));
        }
        vec![text, names.join(", ")]
    };
    let mut lines = |name: &str, texts: Vec<String>| {
        for (number, text) in texts.iter().enumerate() {
            line(if number == 0 { name } else { "" }, text);
        }
    };
    lines("train", split(&*data.train, &layout.train, 0));
    match &data.test {
        Some(test) => lines("test", {
            let unknown = layout.unknown_classes.values().sum();
            split(&**test, layout.test.as_deref().unwrap_or_default(), unknown)
        }),
        None => lines("test", vec!["none".into()]),
    }
    if !layout.labels.is_empty() {
        line("labels", &layout.labels);
    }
    let (smallest, largest) = (sides.smallest, sides.largest);
    let range = match smallest == largest {
        true => format!("{smallest} pixels"),
        false => format!("from {smallest} to {largest} pixels"),
    };
    line("sizes", &format!("shorter sides are {range} (checked: {})", images(sides.seen)));
    line("views", &format!("{0}×{0}: {1}", sides.view(), sides.reason()));
    match data.untested() {
        None => line("accuracy", "can be measured"),
        Some(cause) => line("accuracy", &format!("cannot be measured: {cause}")),
    }
    for (number, remark) in layout.remarks().iter().enumerate() {
        line(if number == 0 { "note" } else { "" }, remark);
    }
    let skipped = &data.skipped;
    if !skipped.is_empty() {
        line("left out", &count(skipped.len(), "file"));
        for skipped in skipped.iter().take(SHOWN) {
            let path = skipped.path.strip_prefix(&layout.root).unwrap_or(&skipped.path);
            line("", &format!("{}: {}", shown(path), skipped.reason));
        }
        if skipped.len() > SHOWN {
            line("", &format!("and {} more; --json lists all", skipped.len() - SHOWN));
        }
    }
    let state = match decoded {
        true => "every image was decoded once",
        false => {
            "not yet, because the set is large; --decode decodes it and finds unreadable images"
        }
    };
    line("decoded", state);
    if data.train.len() < 2 {
        line("training", "is not possible: at least 2 images are needed");
        return out;
    }
    let (flag, value) = match source {
        Source::Folder(folder) => ("--images", pasted(folder)),
        Source::Named(name) => ("--dataset", name.clone()),
    };
    out + &format!("\ntrain on it with: selfsame pretrain byol {flag} {value}\n")
}

fn images(n: usize) -> String {
    count(n, "image")
}

fn to_json(data: &Splits, sides: &Sides, decoded: bool) -> serde_json::Value {
    let layout = &data.layout;
    let split = |set: &dyn ImageDataset, place: Option<&str>| {
        let (classes, unlabelled) = classes(set);
        let classes: serde_json::Map<String, serde_json::Value> =
            classes.into_iter().map(|(name, images)| (name, images.into())).collect();
        json!({ "place": place, "images": set.len(), "classes": classes, "unlabelled": unlabelled })
    };
    let passed_over = layout.passed_over.iter().map(
        |passed| json!({ "place": passed.place, "images": passed.images, "reason": passed.reason }),
    );
    let skipped = data.skipped.iter().map(
        |skipped| json!({ "path": skipped.path.display().to_string(), "reason": skipped.reason }),
    );
    json!({
        "root": layout.root.display().to_string(),
        "format": format_of(data),
        "train": split(&*data.train, Some(&layout.train)),
        "test": data.test.as_ref().map(|test| split(&**test, layout.test.as_deref())),
        "labels": layout.labels,
        "sides": {
            "smallest": sides.smallest, "median": sides.median, "largest": sides.largest,
            "images": sides.seen,
        },
        "view_size": sides.view(),
        "untested": data.untested().map(|cause| cause.to_string()),
        "unknown_classes": layout.unknown_classes,
        "passed_over": passed_over.collect::<Vec<_>>(),
        "unread": layout.unread,
        "links_out": layout.links_out,
        "remarks": layout.remarks(),
        "skipped": skipped.collect::<Vec<_>>(),
        "all_decoded": decoded,
    })
}
