//! The files of the catalogue's data sets: fetched, checked, unpacked, and only then moved in
//! place.
//!
//! Unfinished work lies in `root/.downloads/NAME`: `FILE.part` during the transfer, `FILE` when its
//! size and sum are right. Archives are unpacked in `root/.downloads/NAME.unpacked`. The data set's
//! own folder appears by a rename, whole or not at all. A failed download keeps what has arrived,
//! and the next one continues from there.

mod fetch;
mod local;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::entries::find;
use crate::error::{FetchError, FetchFailure};
use crate::files::archive::{Format, UnpackLimits, Unpacker};
use crate::files::checksums::{Sum, from_hex, sum_of, to_hex};
use crate::{DataError, FileFormat, Manifest, ManifestFile};

/// The folder for unfinished work, in the data sets' folder.
const WORK_FOLDER: &str = ".downloads";

/// A place with copies of the files of data sets, under their own names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirror {
    /// The start of a URL; a slash and the file's name are added.
    Url(String),
    /// A folder on this machine.
    Folder(PathBuf),
}

impl Mirror {
    /// A URL if it starts with `http://` or `https://`, or else a folder.
    pub fn new(place: &str) -> Self {
        if place.starts_with("http://") || place.starts_with("https://") {
            Self::Url(place.to_owned())
        } else {
            Self::Folder(PathBuf::from(place))
        }
    }
}

/// How to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadOptions {
    /// Asks no server: files come from a mirror folder, or somebody has put them in place.
    pub offline: bool,
    /// Tried before the addresses of the manifest.
    pub mirror: Option<Mirror>,
    /// How often each address is tried, at least once. Only failures that may pass are tried again:
    /// no connection, a broken one, silence, and the statuses 408, 429 and 5xx.
    pub attempts: u32,
    /// The pause before the second attempt, doubled for each further one, up to a minute.
    pub backoff: Duration,
    /// The most time to find a server and connect to it.
    pub connect_timeout: Duration,
    /// The most time until an answer starts, and for every pause within it.
    pub idle_timeout: Duration,
    /// The largest file if the manifest does not give its size.
    pub max_bytes: u64,
    /// The limits of unpacking.
    pub limits: UnpackLimits,
}

impl Default for DownloadOptions {
    /// Five attempts with pauses from one second on, 30 seconds of silence, files of up to 16 GiB.
    fn default() -> Self {
        Self {
            offline: false,
            mirror: None,
            attempts: 5,
            backoff: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(30),
            max_bytes: 16 << 30,
            limits: UnpackLimits::default(),
        }
    }
}

/// What is happening.
#[derive(Debug)]
pub enum DownloadEvent<'a> {
    /// Bytes of a file have arrived.
    Bytes {
        /// Its name.
        file: &'a str,
        /// How many there are now.
        done: u64,
        /// How many there will be, if known.
        total: Option<u64>,
    },
    /// An attempt failed. Another attempt, another address or an error follows.
    Failed(&'a FetchFailure),
    /// A file is complete and right, and is being unpacked.
    Unpacking {
        /// Its name.
        file: &'a str,
    },
}

/// What a download did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadReport {
    /// Where the data set is now.
    pub folder: PathBuf,
    /// It was here already, and nothing was done.
    pub already_here: bool,
    /// Files unpacked.
    pub files: u64,
    /// Bytes unpacked.
    pub bytes: u64,
    /// Links and special files that were left out.
    pub left_out: u64,
}

/// Brings a data set of the catalogue to `root/name`, with a `SHA256SUMS` of its files.
///
/// For each file of the manifest, the mirror and then the manifest's addresses are tried in turn. A
/// broken transfer continues where it stopped. No file becomes larger than the manifest says, and
/// none is unpacked before its size and SHA-256 are right. A file with a wrong sum is deleted. If
/// the manifest has no sum, only the transfer itself can be checked.
///
/// `ALL_PROXY`, `HTTPS_PROXY` or `HTTP_PROXY` name a proxy, except for the hosts in `NO_PROXY`.
/// This machine's own addresses use none.
///
/// A lock on `root/.NAME.lock` keeps a second process out.
///
/// # Errors
/// [`DataError::Locked`] at once while another process downloads the same data set.
/// [`DataError::Offline`] with all missing files. [`DataError::Download`] with every failed
/// attempt. An unknown data set or one without addresses. An archive that is damaged, hostile or
/// beyond the limits.
pub fn download(
    name: &str,
    root: &Path,
    options: &DownloadOptions,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
) -> Result<DownloadReport, DataError> {
    let entry = find(name, root)?;
    let folder = root.join(name);
    let here = DownloadReport {
        folder: folder.clone(),
        already_here: true,
        files: 0,
        bytes: 0,
        left_out: 0,
    };
    let Some(manifest) = entry.manifest.filter(|_| !entry.present) else { return Ok(here) };
    if manifest.layout == FileFormat::Drawn {
        return Ok(here);
    }
    if manifest.files.is_empty() {
        return Err(DataError::Absent { name: name.into(), folder, hint: manifest.hint(name) });
    }
    let _lock = lock(name, root)?;
    // The process that held the lock before may have downloaded it.
    if folder.exists() {
        return Ok(here);
    }
    let work = root.join(WORK_FOLDER).join(name);
    std::fs::create_dir_all(&work).map_err(DataError::io("make", &work))?;
    let wanted = wanted(&manifest, name, root, &work)?;
    bring_all(name, &wanted, &work, options, progress)?;

    // Beside the files, which may have any name.
    let staging = root.join(WORK_FOLDER).join(format!("{name}.unpacked"));
    let unpacked = unpack_all(&wanted, &staging, options.limits, progress);
    let moved = unpacked.and_then(|done| {
        std::fs::rename(&staging, &folder).map_err(DataError::io("move files to", &folder))?;
        Ok(done)
    });
    if moved.is_err() {
        // The rest of it is useless. The next attempt removes it anyway.
        let _ = std::fs::remove_dir_all(&staging);
    }
    let (files, bytes, left_out) = moved?;
    // The data set is in place. Leftovers would only take space.
    let _ = std::fs::remove_dir_all(&work);
    let _ = std::fs::remove_dir(root.join(WORK_FOLDER));
    Ok(DownloadReport { folder, already_here: false, files, bytes, left_out })
}

/// One file as the manifest describes it.
struct Wanted<'a> {
    name: &'a str,
    manifest: &'a ManifestFile,
    sum: Option<Sum>,
    /// Its path when it is complete.
    path: PathBuf,
}

impl Wanted<'_> {
    /// Checks size and sum of a file that should be complete.
    fn check(&self, path: &Path) -> Result<(), FetchError> {
        let found = std::fs::metadata(path).map_err(FetchError::file(path))?.len();
        if let Some(expected) = self.manifest.bytes.filter(|expected| *expected != found) {
            return Err(FetchError::Size { expected, found });
        }
        if let Some(expected) = self.sum {
            let found = sum_of(path).map_err(FetchError::file(path))?;
            if found != expected {
                let (expected, found) = (to_hex(&expected), to_hex(&found));
                return Err(FetchError::Sum { expected, found });
            }
        }
        Ok(())
    }

    /// How many bytes may be written.
    fn limit(&self, options: &DownloadOptions) -> u64 {
        self.manifest.bytes.unwrap_or(options.max_bytes)
    }

    fn part(&self) -> PathBuf {
        self.path.with_file_name(format!("{}.part", self.name))
    }
}

fn wanted<'a>(
    manifest: &'a Manifest,
    name: &str,
    root: &Path,
    work: &Path,
) -> Result<Vec<Wanted<'a>>, DataError> {
    let toml = root.join(format!("{name}.toml"));
    let wanted = |file: &'a ManifestFile| -> Result<Wanted<'a>, DataError> {
        let wrong = |what: &str| DataError::format(&toml, format!("{what} of {}", file.url));
        let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if let Some(url) = std::iter::once(&file.url).chain(&file.mirrors).find(|url| !web(url)) {
            let reason = format!("{url} starts with neither http:// nor https://");
            return Err(DataError::format(&toml, reason));
        }
        let name = file.name().ok_or_else(|| wrong("there is no file name at the end"))?;
        let sum = match &file.sha256 {
            None => None,
            Some(digits) => {
                let sum = from_hex(digits.as_bytes());
                Some(sum.ok_or_else(|| wrong("64 hexadecimal digits make the sha256"))?)
            }
        };
        Ok(Wanted { name, manifest: file, sum, path: work.join(name) })
    };
    let wanted: Vec<_> = manifest.files.iter().map(wanted).collect::<Result<_, _>>()?;
    let mut names: Vec<_> = wanted.iter().map(|file| file.name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(DataError::format(&toml, format!("two files are called {}", pair[0])));
    }
    Ok(wanted)
}

/// A lock that is held while the file is open. The system releases it even if the process is
/// killed.
fn lock(name: &str, root: &Path) -> Result<File, DataError> {
    std::fs::create_dir_all(root).map_err(DataError::io("make", root))?;
    let path = root.join(format!(".{name}.lock"));
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(DataError::io("write", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataError::Locked { name: name.into(), path }),
        Err(TryLockError::Error(error)) => Err(DataError::io("lock", &path)(error)),
    }
}

/// Puts every file into the work folder, whole and right.
fn bring_all(
    name: &str,
    wanted: &[Wanted<'_>],
    work: &Path,
    options: &DownloadOptions,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
) -> Result<(), DataError> {
    let mut missing = Vec::new();
    for file in wanted {
        if let Some(failures) = bring(file, options, progress) {
            if !options.offline {
                let (file, folder) = (file.name.to_owned(), work.to_owned());
                return Err(DataError::Download { file, folder, failures });
            }
            // Offline only folders were tried. The missing file and its address matter more.
            let why = failures.last().map_or(String::new(), |f| format!(" ({f})"));
            missing.push(format!("{}{why}", file.manifest.url));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(DataError::Offline { name: name.into(), folder: work.to_owned(), files: missing })
}

/// `None` if the file is there, else the reason why not.
fn bring(
    file: &Wanted<'_>,
    options: &DownloadOptions,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
) -> Option<Vec<FetchFailure>> {
    let mut failures = Vec::new();
    let mut failed = |from: String, error, progress: &mut dyn FnMut(DownloadEvent<'_>)| {
        let failure = FetchFailure { from, error };
        progress(DownloadEvent::Failed(&failure));
        failures.push(failure);
    };
    if file.path.exists() {
        match file.check(&file.path) {
            Ok(()) => return None,
            Err(error) => {
                failed(file.path.display().to_string(), error, progress);
                // Somebody may have put it there by hand and should still find it.
                if !options.offline {
                    let _ = std::fs::remove_file(&file.path);
                }
            }
        }
    }
    if let Some(Mirror::Folder(folder)) = &options.mirror {
        match local::copy(file, folder, options, progress) {
            Ok(()) => return None,
            Err(error) => failed(folder.join(file.name).display().to_string(), error, progress),
        }
    }
    if options.offline {
        return Some(failures);
    }
    let mirror = match &options.mirror {
        Some(Mirror::Url(url)) => Some(format!("{}/{}", url.trim_end_matches('/'), file.name)),
        _ => None,
    };
    let listed = std::iter::once(&file.manifest.url).chain(&file.manifest.mirrors).cloned();
    for url in mirror.into_iter().chain(listed) {
        for attempt in 0..options.attempts.max(1) {
            if attempt > 0 {
                let pause = options.backoff.saturating_mul(1 << (attempt - 1).min(16));
                std::thread::sleep(pause.min(Duration::from_secs(60)));
            }
            match fetch::attempt(&url, file, options, progress) {
                Ok(()) => return None,
                Err(failure) => {
                    failed(url.clone(), failure.error, progress);
                    if !failure.may_pass {
                        break;
                    }
                }
            }
        }
    }
    Some(failures)
}

/// Files, bytes and entries left out.
fn unpack_all(
    wanted: &[Wanted<'_>],
    staging: &Path,
    limits: UnpackLimits,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
) -> Result<(u64, u64, u64), DataError> {
    if staging.exists() {
        std::fs::remove_dir_all(staging).map_err(DataError::io("remove", staging))?;
    }
    std::fs::create_dir(staging).map_err(DataError::io("make", staging))?;
    let mut target = Unpacker::new(staging, limits);
    for file in wanted {
        progress(DownloadEvent::Unpacking { file: file.name });
        let unpacked = match Format::of(file.name.as_ref()) {
            Some(format) => target.unpack(&file.path, format),
            None => {
                let open = File::open(&file.path).map_err(DataError::io("open", &file.path));
                open.and_then(|mut from| target.add(file.name.as_ref(), &mut from, &file.path))
            }
        };
        if unpacked.is_err() && file.sum.is_none() {
            // Nothing proves that it is right, so the next download must not continue it.
            let _ = std::fs::remove_file(&file.path);
        }
        unpacked?;
    }
    target.finish()?;
    Ok((target.files(), target.bytes, target.left_out))
}
