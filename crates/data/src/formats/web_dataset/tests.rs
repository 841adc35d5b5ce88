//! Shards of all kinds, through [`open_web_dataset`].

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tar::{Builder, EntryType, Header};

use super::*;
use crate::Links;

fn png(value: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(4, 3, image::Rgb([value, 0, 0]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn append(builder: &mut Builder<Vec<u8>>, name: &str, data: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, data).unwrap();
}

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    entries.iter().for_each(|(name, data)| append(&mut builder, name, data));
    builder.into_inner().unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn folder(shards: &[(&str, &[u8])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, bytes) in shards {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    root
}

/// The names of all images below the folder, with their red values and class names. And what is
/// skipped, with the reasons.
type Opened = (Vec<(String, u8, Option<String>)>, BTreeMap<String, String>);

fn opened(root: &Path) -> Opened {
    let splits = open_web_dataset("x", root, Links::Follow).unwrap();
    let relative = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    let mut images = Vec::new();
    for set in [Some(&splits.train), splits.test.as_ref()].into_iter().flatten() {
        images.extend((0..set.len()).map(|i| {
            let class = set.label(i).map(|label| set.class_names()[label as usize].clone());
            (relative(&set.name(i)), set.image(i).unwrap().get_pixel(3, 2).0[0], class)
        }));
    }
    images.sort();
    let skipped = splits.skipped.iter().map(|s| (relative(&s.path), s.reason.clone())).collect();
    (images, skipped)
}

fn of_shard(bytes: &[u8]) -> Opened {
    opened(folder(&[("0.tar", bytes)]).path())
}

fn image(name: &str, value: u8, class: &str) -> (String, u8, Option<String>) {
    let class = (!class.is_empty()).then(|| class.to_owned());
    (format!("0.tar/{name}"), value, class)
}

fn index_bytes(bytes: &[u8]) -> (Vec<Sample>, Result<(), String>) {
    let (mut samples, mut labels) = (Vec::new(), RawLabels::default());
    let length = bytes.len() as u64;
    let place = ShardPlace { path: Path::new("0.tar"), number: 0, base: 0, length };
    let mut findings = Findings::default();
    let result = index(Cursor::new(bytes), place, &mut labels, &mut samples, &mut findings);
    (samples, result)
}

#[test]
fn samples_are_images_with_the_labels_of_their_keys() {
    assert!(size_of::<Sample>() <= 24);
    let long = format!("{}/0003", "long".repeat(40));
    let root = folder(&[
        (
            "train/000.tar",
            &tar(&[
                ("a.b/0001.cls", b"2\n"),
                ("a.b/0001.json", b"{}"),
                ("a.b/0001.PNG", &png(1)),
                ("a.b/0002.png", &png(2)),
                ("notes", b"no dot"),
            ]),
        ),
        (
            "train/001.tar",
            &tar(&[
                (&format!("{long}.seg.png"), &png(9)),
                (&format!("{long}.jpg"), &png(3)),
                (&format!("{long}.cls"), b"0"),
                ("0004.cls", b"-1"),
                ("0004.png", &png(4)),
                ("0005.txt", b"an image is missing"),
            ]),
        ),
        ("val.tar", &tar(&[("1.cls", b"1"), ("1.png", &png(5))])),
        ("classnames.txt", b"ant\nbee\ncow\n"),
    ]);
    let splits = open_web_dataset("x", root.path(), Links::Follow).unwrap();
    let set = &splits.train;
    let found: Vec<_> = (0..set.len())
        .map(|i| (set.image(i).unwrap().get_pixel(3, 2).0[0], set.label(i)))
        .collect();
    assert_eq!(found, [(1, Some(2)), (2, None), (3, Some(0)), (4, None)]);
    assert_eq!(set.class_names(), ["ant", "bee", "cow"]);
    assert_eq!(splits.test.unwrap().label(0), Some(1));
    assert!(splits.skipped.is_empty(), "{:?}", splits.skipped);
    assert_eq!(splits.layout.labels, "the .cls entries of the shards");
}

#[test]
fn images_are_named_by_their_shard_and_key_also_in_errors() {
    let long = format!("{}/0003.jpg", "long".repeat(40));
    let mut builder = Builder::new(Vec::new());
    append(&mut builder, "./0001.png", &png(1));
    append(&mut builder, "0002.png", b"no image");
    append(&mut builder, &long, b"no image");
    let pax = "p".repeat(300) + ".png";
    builder.append_pax_extensions([("path", pax.as_bytes())]).unwrap();
    append(&mut builder, "short.png", b"");
    let root = folder(&[("train/000.tar", &builder.into_inner().unwrap())]);
    let splits = open_web_dataset("x", root.path(), Links::Follow).unwrap();
    let place = root.path().join("train/000.tar");
    assert_eq!(splits.train.name(0), place.join("0001.png"));
    let skipped: Vec<PathBuf> = splits.skipped.iter().map(|s| s.path.clone()).collect();
    assert_eq!(skipped, [place.join("0002.png"), place.join(long), place.join(pax)]);
    // A large image is not decoded on opening.
    let store = |bytes: &[u8]| {
        std::fs::write(&place, bytes).unwrap();
        let mut findings = Findings::default();
        WebDataset::open(std::slice::from_ref(&place), &mut RawLabels::default(), &mut findings)
    };
    let store = store(&tar(&[("7.png", b"no image")])).unwrap();
    let error = store.decode(0).unwrap_err().to_string();
    assert!(error.contains("train/000.tar/7.png: "), "{error}");
    std::fs::remove_file(&place).unwrap();
    assert_eq!(store.name(0), place.join("image at byte 512"));
}

#[test]
fn a_plain_extension_comes_before_a_compound_one_in_any_order() {
    let (rgb, depth, other) = (&png(1)[..], &png(9)[..], &png(8)[..]);
    let shard = tar(&[
        ("0.depth.png", depth),
        ("0.jpg", rgb),
        ("0.cls", b"cat"),
        ("1.cls", b"dog"),
        ("1.png", rgb),
        ("1.mask16.png", depth),
        ("1.webp", other),
    ]);
    let expected = vec![image("0.jpg", 1, "cat"), image("1.png", 1, "dog")];
    assert_eq!(of_shard(&shard), (expected, BTreeMap::new()));
    let root = folder(&[("0.tar", &shard)]);
    let layout = open_web_dataset("x", root.path(), Links::Follow).unwrap().layout;
    let passed: Vec<_> = layout.passed_over.iter().map(|p| (p.images, &*p.reason)).collect();
    assert!(
        matches!(&passed[..], [(1, a), (2, b)]
        if a.ends_with("0.tar/1.webp") && b.ends_with("0.tar/0.depth.png")),
        "{passed:?}"
    );
}

#[test]
fn of_images_without_a_plain_one_the_first_of_each_key_is_used() {
    let (rgb, depth) = (&png(1)[..], &png(9)[..]);
    let shard = tar(&[
        ("0.rgb.png", rgb),
        ("0.depth.png", depth),
        ("1.rgb.png", rgb),
        ("1.depth.png", depth),
        ("0.cls", b"5"),
        ("1.cls", b"3"),
    ]);
    let expected = vec![image("0.rgb.png", 1, "5"), image("1.rgb.png", 1, "3")];
    assert_eq!(of_shard(&shard).0, expected);
}

#[test]
fn keys_with_dots_are_samples_of_their_own() {
    let names: Vec<[String; 3]> = (0..80)
        .map(|i| {
            let stem = format!("img{:03}.v1.{}", i / 4, i % 4);
            [format!("{stem}.png"), format!("{stem}.cls"), format!("class {}", i % 7)]
        })
        .collect();
    let images: Vec<Vec<u8>> = (0..80).map(png).collect();
    for labelled in [true, false] {
        let mut entries: Vec<(&str, &[u8])> = Vec::new();
        for ([png, cls, class], image) in names.iter().zip(&images) {
            entries.push((png, image));
            entries.extend(labelled.then_some((&**cls, class.as_bytes())));
        }
        let expected = names
            .iter()
            .zip(0..)
            .map(|([png, _, class], value)| image(png, value, if labelled { class } else { "" }));
        assert_eq!(of_shard(&tar(&entries)), (expected.collect(), BTreeMap::new()));
    }
    // Words are no numbers, but each stands under one key only.
    let urls = tar(&[("www.a.com_cat.png", &png(1)), ("www.a.com_dog.png", &png(2))]);
    assert_eq!(of_shard(&urls).0.len(), 2);
}

#[test]
fn labels_are_found_by_key_in_any_order_and_any_case() {
    let shard = tar(&[
        ("0.CLS", b"cat"),
        ("2.label.cls", b"\xef\xbb\xbfdog\r\n"),
        ("0.PNG", &png(0)),
        ("1.png", &png(1)),
        ("2.png", &png(2)),
        ("1.cls", b"cat"),
        ("4.cls", b"yak"),
        ("3.png", &png(3)),
    ]);
    let (images, skipped) = of_shard(&shard);
    let expected = vec![
        image("0.PNG", 0, "cat"),
        image("1.png", 1, "cat"),
        image("2.png", 2, "dog"),
        image("3.png", 3, ""),
    ];
    assert_eq!(images, expected);
    let root = folder(&[("0.tar", &shard)]);
    let reasons: Vec<String> = open_web_dataset("x", root.path(), Links::Follow)
        .unwrap()
        .skipped
        .into_iter()
        .map(|skipped| skipped.reason)
        .collect();
    assert_eq!(skipped.len(), 1);
    assert!(
        matches!(&reasons[..], [a, b]
        if a.starts_with("1 image without a label") && a.ends_with("3.png")
        && b.starts_with("1 label without an image") && b.ends_with("4.cls")),
        "{reasons:?}"
    );
}

#[test]
fn json_entries_have_labels_where_there_are_no_cls_entries() {
    let shard = tar(&[
        ("0.json", br#"{"caption": "x", "label": 3}"#),
        ("0.png", &png(0)),
        ("1.json", br#"{"class": "4"}"#),
        ("1.png", &png(1)),
        ("2.json", b"{"),
        ("2.png", &png(2)),
        ("2.txt", b"a caption"),
    ]);
    let expected = vec![image("0.png", 0, "3"), image("1.png", 1, "4"), image("2.png", 2, "")];
    assert_eq!(of_shard(&shard).0, expected);
    let root = folder(&[("0.tar", &shard)]);
    let layout = open_web_dataset("x", root.path(), Links::Follow).unwrap().layout;
    assert_eq!(layout.labels, "the .json entries of the shards");
    let unlabelled = folder(&[("0.tar", &tar(&[("0.png", &png(0)), ("0.txt", b"cat")]))]);
    let splits = open_web_dataset("x", unlabelled.path(), Links::Follow).unwrap();
    assert_eq!((splits.train.label(0), &*splits.layout.labels), (None, ""));
    assert!(splits.untested().unwrap().to_string().contains("add KEY.cls"));
}

#[test]
fn what_cannot_be_used_costs_only_itself() {
    let mut builder = Builder::new(Vec::new());
    append(&mut builder, "0.png", &png(0));
    append(&mut builder, "0.cls", b"a\0b");
    append(&mut builder, "1.png", b"junk");
    append(&mut builder, "1.cls", &[b'7'; 2000]);
    append(&mut builder, "2.cls", b"\xff\xfe");
    append(&mut builder, &("n".repeat(70_000) + ".png"), &png(9));
    append(&mut builder, "._3.png", b"resource fork");
    append(&mut builder, "__MACOSX/4.png", b"resource fork");
    let mut link = Header::new_gnu();
    link.set_entry_type(EntryType::Link);
    link.set_size(0);
    builder.append_link(&mut link, "5.png", "0.png").unwrap();
    append(&mut builder, "6.cls", b"3");
    append(&mut builder, "6.png", &png(6));
    let (images, skipped) = of_shard(&builder.into_inner().unwrap());
    assert_eq!(images, [image("0.png", 0, ""), image("6.png", 6, "3")]);
    let listed = |name: &str, words: &str| {
        let reason = skipped.get(&format!("0.tar/{name}"));
        assert!(reason.is_some_and(|reason| reason.contains(words)), "{name}: {skipped:?}");
    };
    listed("0.cls", "neither a number nor a word");
    listed("1.png", "not an image");
    listed("1.cls", "beyond the limit");
    listed("2.cls", "not UTF-8");
    listed("5.png", "a link");
    assert!(skipped.iter().any(|(name, why)| name.contains("at byte") && why.contains("65536")));
    assert_eq!(skipped.len(), 6, "{skipped:?}");
}

#[test]
fn one_image_beyond_the_limit_is_listed_and_the_next_one_read() {
    const SIZE: u64 = (512 << 20) + 512;
    let root = tempfile::tempdir().unwrap();
    let mut file = File::create(root.path().join("0.tar")).unwrap();
    let mut header = Header::new_gnu();
    header.set_path("0.png").unwrap();
    header.set_size(SIZE);
    header.set_cksum();
    file.write_all(header.as_bytes()).unwrap();
    // A hole takes no space on the disk.
    file.seek(std::io::SeekFrom::Start(512 + SIZE)).unwrap();
    file.write_all(&tar(&[("1.png", &png(1))])).unwrap();
    let (images, skipped) = opened(root.path());
    assert_eq!(images, [image("1.png", 1, "")]);
    assert!(skipped["0.tar/0.png"].contains("beyond the limit"), "{skipped:?}");
}

#[test]
fn hostile_names_neither_leave_the_shard_nor_reach_the_terminal() {
    let mut bytes = tar(&[("etc/passwd-x.png", b"x"), ("1.png", &png(1))]);
    bytes[..16].copy_from_slice(b"/\x1b[2J/../p-x.png");
    let mut header = Header::from_byte_slice(&bytes[..512]).clone();
    header.set_cksum();
    bytes[..512].copy_from_slice(header.as_bytes());
    let (images, skipped) = of_shard(&bytes);
    assert_eq!(images, [image("1.png", 1, "")]);
    assert_eq!(skipped.keys().collect::<Vec<_>>(), ["0.tar/\u{fffd}[2J/../p-x.png"]);
}

#[test]
fn compressed_shards_are_read_whatever_they_are_called() {
    let plain = |from: u8| {
        let names = [0, 1].map(|i| (format!("{}.png", from + i), png(from + i)));
        let entries: Vec<(&str, &[u8])> = names.iter().map(|(n, png)| (&**n, &**png)).collect();
        tar(&entries)
    };
    let (first, second) = (plain(0), plain(2));
    let (a, b) = first.split_at(700);
    let skippable = [b"\x51\x2a\x4d\x18\x03\0\0\0abc", &zst(a)[..], &zst(b)].concat();
    let root = folder(&[
        ("a.tar.gz", &[gz(a), gz(b)].concat()),
        ("b.tar", &gz(&second)),
        ("c.tgz", &plain(4)),
        ("d.tar.zst", &skippable),
        ("e.tar", &zst(&second)),
        ("f.tar.xz", b"\xfd7zXZ\0 and more"),
        ("g.tar.bz2", b"BZh9"),
    ]);
    let (images, skipped) = opened(root.path());
    let found: Vec<(&str, u8)> = images.iter().map(|image| (&*image.0, image.1)).collect();
    let expected = [
        ("a.tar.gz/0.png", 0),
        ("a.tar.gz/1.png", 1),
        ("b.tar/2.png", 2),
        ("b.tar/3.png", 3),
        ("c.tgz/4.png", 4),
        ("c.tgz/5.png", 5),
        ("d.tar.zst/0.png", 0),
        ("d.tar.zst/1.png", 1),
        ("e.tar/2.png", 2),
        ("e.tar/3.png", 3),
    ];
    assert_eq!(found, expected);
    assert_eq!(skipped.len(), 2);
    assert!(skipped["f.tar.xz"].contains("compressed with xz, which is not read"));
    assert!(skipped["g.tar.bz2"].contains("compressed with bzip2, which is not read"));
    let paths = ["a.tar.gz", "e.tar", "f.tar.xz", "c.tgz"].map(|name| root.path().join(name));
    assert_eq!((count_images(&paths, 100), count_images(&paths, 3)), (6, 3));
}

#[test]
fn a_damaged_compressed_shard_is_used_up_to_the_damage() {
    // Pixels that do not shrink, so that a cut falls between them.
    let noise = |seed: u32| {
        let mut state = seed;
        let image = RgbImage::from_fn(64, 64, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb([seed as u8, (state >> 24) as u8, (state >> 16) as u8])
        });
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let images: Vec<Vec<u8>> = (1..=40).map(noise).collect();
    let names: Vec<String> = (0..40).map(|i| format!("{i}.png")).collect();
    let entries: Vec<(&str, &[u8])> =
        names.iter().zip(&images).map(|(name, png)| (&**name, &**png)).collect();
    let plain = tar(&entries);
    for packed in [gz(&plain), zst(&plain)] {
        let mut flipped = packed.clone();
        let middle = packed.len() / 2;
        flipped[middle..middle + 64].fill(0xff);
        for (bytes, exact) in [(&packed[..middle], true), (&flipped, false)] {
            let (images, skipped) = of_shard(bytes);
            assert!((1..40).contains(&images.len()) || !exact, "{}", images.len());
            assert!(!images.is_empty() && !skipped.is_empty());
            assert!(skipped.values().all(|why| !why.contains(char::is_control)), "{skipped:?}");
        }
    }
}

#[test]
fn a_bomb_is_stopped() {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, size) in [("0.png", png(0).len() as u64), ("1.bin", 30 << 20)] {
        let mut header = Header::new_gnu();
        header.set_size(size);
        let data = Cursor::new(png(0)).chain(std::io::repeat(0)).take(size);
        builder.append_data(&mut header, name, data).unwrap();
    }
    let bytes = builder.into_inner().unwrap().finish().unwrap();
    assert!(bytes.len() < 1 << 19, "small, but much inside");
    let (images, skipped) = of_shard(&bytes);
    assert_eq!(images, [image("0.png", 0, "")]);
    assert!(skipped["0.tar"].contains("unpacks to more than"), "{skipped:?}");
}

#[test]
fn a_shard_that_cannot_be_opened_is_listed() {
    let root =
        folder(&[("0.tar", &tar(&[("0.png", &png(0))])), ("1.tar", b""), ("2.tar", b"junk")]);
    std::fs::create_dir(root.path().join("3.tar")).unwrap();
    let mut expected = vec!["1.tar", "2.tar", "3.tar"];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere.tar", root.path().join("4.tar")).unwrap();
        expected.push("4.tar");
    }
    let (images, skipped) = opened(root.path());
    assert_eq!(images, [image("0.png", 0, "")]);
    assert_eq!(skipped.keys().collect::<Vec<_>>(), expected);
    assert_eq!(skipped["2.tar"], "not a tar archive");
    let single = root.path().join("0.tar");
    assert_eq!(open_web_dataset("x", &single, Links::Follow).unwrap().train.len(), 1);
}

#[test]
fn a_shard_without_an_image_says_what_it_has() {
    let root = folder(&[("0.tar", &tar(&[("0.AVIF", b"x"), ("0.cls", b"3"), ("0.npy", b"x")]))]);
    let error = open_web_dataset("x", root.path(), Links::Follow).err().unwrap().to_string();
    assert!(
        error.contains("0.tar: no image of a kind that is read; it has .avif, .npy"),
        "{error}"
    );
}

#[test]
fn long_names_of_both_kinds_are_keys() {
    let name = |i: u8| format!("{}/{i}", "n".repeat(150));
    let gnu = tar(&[(&format!("{}.png", name(1)), b"x"), (&format!("{}.cls", name(1)), b"7")]);
    let mut builder = Builder::new(Vec::new());
    for (extension, data) in [("png", "x"), ("cls", "8")] {
        let path = format!("{}.{extension}", name(2));
        builder.append_pax_extensions([("path", path.as_bytes())]).unwrap();
        let mut header = Header::new_ustar();
        header.set_size(1);
        builder.append_data(&mut header, "short", data.as_bytes()).unwrap();
    }
    for bytes in [gnu, builder.into_inner().unwrap()] {
        let (samples, result) = index_bytes(&bytes);
        result.unwrap();
        // The first label of each has number 0.
        assert_eq!(samples.iter().map(|s| (s.length, s.label)).collect::<Vec<_>>(), [(1, 0)]);
    }
}

#[test]
fn a_damaged_shard_is_used_up_to_the_damage_and_reported() {
    let good = tar(&[("1.png", &[1; 600]), ("2.png", &[2; 600]), ("3.png", &[3; 600])]);
    // A header and two blocks each.
    let (samples, result) = index_bytes(&good[..3 * 1536 - 600]);
    assert_eq!(samples.len(), 2);
    assert!(result.unwrap_err().contains("truncated"));
    let (samples, result) = index_bytes(&good[..1536 + 100]);
    assert_eq!(samples.len(), 1);
    assert!(result.unwrap_err().contains("damaged archive"));
    let mut flipped = good.clone();
    flipped[1536] ^= 1;
    let (samples, result) = index_bytes(&flipped);
    assert_eq!(samples.len(), 1);
    assert!(result.unwrap_err().contains("checksum at byte 1536"));

    let mut header = Header::new_gnu();
    header.set_path("9.png").unwrap();
    header.set_size(u64::MAX - 1000);
    header.set_cksum();
    let huge = [&good[..1536], header.as_bytes()].concat();
    let (samples, result) = index_bytes(&huge);
    assert_eq!((samples.len(), result.is_err()), (1, true));

    let root = tempfile::tempdir().unwrap();
    let whole = tar(&[("1.png", &png(1)), ("2.png", &png(2))]);
    std::fs::write(root.path().join("0.tar"), &whole[..whole.len() - 1024 - 600]).unwrap();
    let splits = open_web_dataset("x", root.path(), Links::Follow).unwrap();
    assert_eq!((splits.train.len(), splits.skipped.len()), (1, 1));
    std::fs::write(root.path().join("0.tar"), b"not an archive").unwrap();
    let error = open_web_dataset("x", root.path(), Links::Follow).err().unwrap().to_string();
    assert!(error.contains("no readable image") && error.contains("0.tar"), "{error}");
}

#[test]
fn joined_archives_are_read_to_the_end_and_what_follows_the_end_is_none() {
    let (one, two) = (tar(&[("1.png", &[1; 600])]), tar(&[("2.png", &[2; 600])]));
    let (samples, result) =
        index_bytes(&[&one[..], &two, b"and words, over a block long"].concat());
    assert_eq!((samples.len(), result), (2, Ok(())));
    let hole = [&one[..1536], &vec![0; 3 << 20], &two].concat();
    let (samples, result) = index_bytes(&hole);
    assert!(samples.len() == 1 && result.unwrap_err().contains("zeros"));
}

#[test]
fn without_a_test_split_every_tenth_of_a_class_is_held_out() {
    let image = png(1);
    let names: Vec<_> =
        (0..40).map(|i| (format!("{i}.png"), format!("{i}.cls"), (i % 2).to_string())).collect();
    let entries: Vec<(&str, &[u8])> = names
        .iter()
        .flat_map(|(png, cls, label)| [(&**png, &*image), (&**cls, label.as_bytes())])
        .collect();
    let root = folder(&[("0.tar", &tar(&entries))]);
    let splits = open_web_dataset("x", root.path(), Links::Follow).unwrap();
    let test = splits.test.unwrap();
    assert_eq!((splits.train.len(), test.len()), (36, 4));
    assert_eq!(splits.train.class_names(), ["0", "1"]);
}
