//! A folder of good images among files that are made to break, exhaust or hang a reader.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use selfsame_data::{Links, open_image_folder};

const CHILD: &str = "SELFSAME_HOSTILE_CHILD";
/// Each bomb would take more than this. Good images and the program itself take a few MB.
const MAX_PEAK_MIB: u64 = 32;
const MAX_TIME: Duration = Duration::from_secs(60);

/// The folder is opened in a process of its own, so that nothing else adds to its memory and time.
#[test]
fn good_images_are_found_and_bad_ones_named_in_little_memory() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return check(Path::new(&folder));
    }
    let root = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["good_images_are_found_and_bad_ones_named_in_little_memory", "--exact"])
        .arg("--nocapture")
        .env(CHILD, root.path())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > MAX_TIME {
            child.kill().unwrap();
            panic!("still reading after {MAX_TIME:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success());
}

fn check(root: &Path) {
    let folder = root.join("images");
    let good = write_good(&folder);
    let bad = write_bad(&folder);
    let splits = open_image_folder("hostile", &folder, Links::Follow).unwrap();

    let found: BTreeMap<PathBuf, usize> =
        (0..splits.train.len()).map(|index| (splits.train.path(index).unwrap(), index)).collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), good.keys().collect::<Vec<_>>());
    for (path, original) in good {
        let image = splits.train.image(found[&path]).unwrap();
        let expected = image::open(original).unwrap().into_rgb8();
        assert_eq!(image.dimensions(), expected.dimensions(), "{}", path.display());
        // JPEG is decoded as Pillow does, and by `image` a few levels otherwise (`formats.rs` knows
        // how far).
        let off = image.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off <= Some(4), "{}", path.display());
    }

    let mut listed: Vec<_> = splits.skipped.iter().map(|s| s.path.clone()).collect();
    listed.sort();
    assert_eq!(listed, bad);
    for skipped in &splits.skipped {
        assert!(!skipped.reason.trim().is_empty(), "{}", skipped.path.display());
    }

    let peak = peak_mib();
    assert!(peak <= MAX_PEAK_MIB, "{peak} MiB");
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

const FORMATS: [&str; 8] = [
    "baseline.jpg",
    "progressive.jpg",
    "rgb.png",
    "lossy.webp",
    "lossless.webp",
    "rgb.bmp",
    "still.gif",
    "rgb-tiff_lzw.tif",
];

fn put(path: PathBuf, bytes: &[u8]) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Their paths, and the originals that they are copies of.
fn write_good(folder: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let png = fixture("rgb.png");
    let mut places: Vec<(PathBuf, PathBuf)> =
        FORMATS.iter().map(|name| (folder.join(name), fixture(name))).collect();
    places.extend([
        // By content, not by name.
        (folder.join("png-named.jpg"), png.clone()),
        (folder.join(OsStr::from_bytes(b"not-unicode-\xff\xfe.png")), png.clone()),
        (folder.join("ppm-named.png"), fixture("rgb.ppm")),
        (folder.join("directory.jpg/inside.png"), png.clone()),
        (folder.join("deep/er/and/deep/er/still/in.png"), png.clone()),
    ]);
    for (path, original) in &places {
        put(path.clone(), &std::fs::read(original).unwrap());
    }
    let mut good: BTreeMap<_, _> = places.into_iter().collect();
    let dot = folder.join("one-pixel.png");
    image::RgbImage::from_pixel(1, 1, image::Rgb([1, 2, 3])).save(&dot).unwrap();
    good.insert(dot.clone(), dot);

    // None of this is an image, and none of it is reported.
    put(folder.join("notes.txt"), b"hello");
    put(folder.join("SHA256SUMS"), b"0 rgb.png");
    put(folder.join(".hidden/rgb.png"), b"");
    put(folder.join("__MACOSX/rgb.png"), b"");
    put(folder.join("._rgb.png"), b"");
    good
}

/// Of a chunk without content, and of two checksums.
const PNG_END: usize = 12 + 4 + 4;

/// Where they are, in order.
fn write_bad(folder: &Path) -> Vec<PathBuf> {
    let mut bad = Vec::new();
    let more = ["palette-lzw.tif", "float.tif", "no-end.png"];
    for name in FORMATS.into_iter().chain(more) {
        let bytes = std::fs::read(fixture(name)).unwrap();
        // The last bytes of some formats say nothing about pixels.
        for tenths in 0..9 {
            let cut = &bytes[..(bytes.len() - PNG_END) * tenths / 10];
            bad.push(put(folder.join(format!("cut/{tenths}-{name}")), cut));
        }
    }
    bad.push(put(folder.join("text.jpg"), b"This is not a picture of a pipe."));
    bad.push(put(folder.join("page.png"), b"<!doctype html><title>404</title>"));
    for (name, bytes) in headers_that_promise_too_much() {
        bad.push(put(folder.join("huge").join(name), &bytes));
    }
    for (bits, name) in [(1, "bomb-1-bit.png"), (8, "bomb-8-bit.png")] {
        bad.push(put(folder.join("huge").join(name), &png_of_zeros(20_000, 20_000, bits)));
    }

    let link = |to: &str, name: &str| {
        symlink(to, folder.join(name)).unwrap();
        folder.join(name)
    };
    bad.push(link("nowhere", "dangling.png"));
    bad.push(link("rgb.png", "again.png"));
    bad.push(link(".", "circle"));

    let pipe = folder.join("pipe.png");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    bad.push(pipe);

    let secret = put(folder.join("secret.png"), &std::fs::read(fixture("rgb.png")).unwrap());
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&secret).is_ok() {
        // The superuser may read everything.
        std::fs::remove_file(&secret).unwrap();
    } else {
        bad.push(secret);
    }

    let abyss: PathBuf = std::iter::repeat_n("d", 40).collect();
    put(folder.join("abyss").join(abyss).join("in.png"), b"never seen");
    bad.push(folder.join("abyss").join(std::iter::repeat_n("d", 32).collect::<PathBuf>()));
    bad.sort();
    bad
}

/// A few bytes each that claim 30,000 × 30,000 pixels, or as many as the format can.
fn headers_that_promise_too_much() -> Vec<(OsString, Vec<u8>)> {
    const SIDE: u32 = 30_000;
    let read = |name: &str| std::fs::read(fixture(name)).unwrap();
    let side = SIDE.to_le_bytes();
    let mut bmp = read("rgb.bmp");
    bmp[18..22].copy_from_slice(&side);
    bmp[22..26].copy_from_slice(&side);
    bmp.truncate(100);

    let mut gif = read("still.gif");
    gif[6..8].copy_from_slice(&side[..2]);
    gif[8..10].copy_from_slice(&side[..2]);

    // The frame's header comes right after the file's, here with 65,500 in both directions.
    let mut jpeg = read("baseline.jpg");
    let frame = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    let mut progressive = read("progressive.jpg");
    let frame = progressive.windows(2).position(|w| w == [0xFF, 0xC2]).unwrap();
    progressive[frame + 5..frame + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);

    // After the signature, 14 bits of width - 1 and as many of height - 1: no more fit.
    let mut webp = read("lossless.webp");
    webp[21..25].copy_from_slice(&(16_382u32 << 14 | 16_382).to_le_bytes());

    let png = png_of_zeros(SIDE, 1, 8);

    let sides = |strip: u32, bytes: u32| tiff([SIDE, SIDE], [1, SIDE], [strip, bytes]);
    let mut files: Vec<(OsString, Vec<u8>)> = vec![
        ("huge.bmp".into(), bmp),
        ("huge.gif".into(), gif),
        ("huge.jpg".into(), jpeg),
        ("huge-progressive.jpg".into(), progressive),
        ("huge.webp".into(), webp),
        ("huge.png".into(), png),
        ("huge.tif".into(), sides(200, 100)),
        ("huge-ppm.png".into(), b"P6 30000 30000 255\n123".to_vec()),
        // Within the limits, but nothing follows the header.
        ("short-ppm.png".into(), b"P6 30000 5900 65535\n123".to_vec()),
        ("plain-ppm.png".into(), b"P3 30000 5900 255\n1 2 3".to_vec()),
        ("plain-pbm.png".into(), b"P1 13000 13000\n1 0 1".to_vec()),
    ];
    // Small, but with four thousand million strips, strips outside, and strips of 4 GiB.
    for (name, strips, place) in [
        ("strips.tif", [u32::MAX, 16], [200, 768]),
        ("outside.tif", [1, 16], [u32::MAX, 768]),
        ("long.tif", [1, 16], [8, u32::MAX]),
        ("rows.tif", [1, 0], [8, 768]),
    ] {
        files.push((name.into(), tiff([16, 16], strips, place)));
    }
    files
}

/// An RGB TIFF without its pixels: `[width, height]`, `[strips, rows per strip]`, and `[offset,
/// bytes]` of the strip.
fn tiff(size: [u32; 2], strips: [u32; 2], place: [u32; 2]) -> Vec<u8> {
    let tags: [(u16, u32, u32); 9] = [
        (256, 1, size[0]),
        (257, 1, size[1]),
        (258, 1, 8),
        (259, 1, 1),
        (262, 1, 1),
        (273, strips[0], place[0]),
        (277, 1, 1),
        (278, 1, strips[1]),
        (279, strips[0], place[1]),
    ];
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((tags.len() as u16).to_le_bytes());
    for (tag, count, value) in tags {
        bytes.extend(tag.to_le_bytes());
        // 32-bit integers.
        bytes.extend(4u16.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes
}

/// A square grey PNG of less than 2 MB, all black, with the first `rows` of its rows.
fn png_of_zeros(side: u32, rows: u32, bits: u8) -> Vec<u8> {
    let chunk = |png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]| {
        png.extend((data.len() as u32).to_be_bytes());
        let start = png.len();
        png.extend(kind);
        png.extend(data);
        let mut crc = flate2::Crc::new();
        crc.update(&png[start..]);
        png.extend(crc.sum().to_be_bytes());
    };
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let row = vec![0; 1 + (side as usize * usize::from(bits)).div_ceil(8)];
    for _ in 0..rows {
        zlib.write_all(&row).unwrap();
    }
    let mut header = [side.to_be_bytes(), side.to_be_bytes()].concat();
    header.extend([bits, 0, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"IDAT", &zlib.finish().unwrap());
    chunk(&mut png, b"IEND", &[]);
    png
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
