//! Downloads from a real server on this machine, with faults to order.

mod server;

use std::path::PathBuf;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use selfsame_data::{
    DataError, DownloadEvent, DownloadOptions, DownloadReport, FetchError, Mirror, UnpackLimits,
    download,
};
use server::{Behaviour, Server};
use sha2::{Digest, Sha256};

/// A data sets' folder with one manifest, `set`.
struct Sets(tempfile::TempDir);

impl Sets {
    /// `file` is the table of the only file.
    fn new(file: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let manifest = format!(
            "description = \"d\"\nlayout = \"idx\"\ntrain_images = 1\ntest_images = 0\n\
             licence = \"l\"\ncitation = \"c\"\nhomepage = \"https://example.org\"\n\
             [[files]]\n{file}\n"
        );
        std::fs::write(root.path().join("set.toml"), manifest).unwrap();
        Self(root)
    }

    /// One file from these URLs, with size and sum as they should be.
    fn of(urls: &[String], bytes: &[u8]) -> Self {
        let sum = sha256(bytes);
        Self::new(&format!("{}bytes = {}\n{sum}", addresses(urls), bytes.len()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn download(&self, options: &DownloadOptions) -> Result<DownloadReport, DataError> {
        download("set", self.0.path(), options, &mut |_| ())
    }

    /// The downloaded file, with nothing left over.
    fn complete(&self, name: &str) -> Vec<u8> {
        assert!(!self.path(".downloads").exists(), "leftovers");
        std::fs::read(self.path("set").join(name)).unwrap()
    }

    /// The attempts of a failing download. Nothing is put in place.
    fn failures(&self, options: &DownloadOptions) -> Vec<FetchError> {
        let error = self.download(options).unwrap_err();
        assert!(!self.path("set").exists());
        assert!(error.to_string().contains("--mirror"), "what to do next: {error}");
        match error {
            DataError::Download { failures, .. } => {
                failures.into_iter().map(|failure| failure.error).collect()
            }
            other => panic!("{other}"),
        }
    }

    fn part(&self) -> Option<Vec<u8>> {
        std::fs::read(self.path(".downloads/set/file.bin.part")).ok()
    }
}

fn addresses(urls: &[String]) -> String {
    format!("url = {:?}\nmirrors = {:?}\n", urls[0], &urls[1..])
}

fn sha256(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256 = \"{digits}\"\n")
}

/// Bytes without a pattern, so that a wrong offset shows.
fn content() -> Vec<u8> {
    (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// No pauses.
fn quick() -> DownloadOptions {
    DownloadOptions {
        attempts: 3,
        backoff: Duration::ZERO,
        connect_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(10),
        ..DownloadOptions::default()
    }
}

/// One attempt at each address.
fn once() -> DownloadOptions {
    DownloadOptions { attempts: 1, ..quick() }
}

#[test]
fn a_file_arrives_with_progress_and_its_sum() {
    let bytes = content();
    let server = Server::new(&bytes, [Behaviour::Serve]);
    let sets = Sets::of(&[server.url("file.bin")], &bytes);
    let mut last = (0, None);
    let report = download("set", sets.0.path(), &quick(), &mut |event| {
        if let DownloadEvent::Bytes { file: "file.bin", done, total } = event {
            assert!(done > last.0, "progress goes forward");
            last = (done, total);
        }
    });
    let report = report.unwrap();
    assert_eq!((report.files, report.bytes, report.already_here), (1, 200_000, false));
    assert_eq!(last, (200_000, Some(200_000)));
    assert!(sets.complete("file.bin") == bytes);
    let sums = std::fs::read_to_string(sets.path("set/SHA256SUMS")).unwrap();
    assert!(sha256(&bytes).contains(sums.split(' ').next().unwrap()));
    assert!(sums.ends_with("  file.bin\n"));

    // Once it is here, no server is asked.
    assert!(sets.download(&quick()).unwrap().already_here);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_cut_connection_is_resumed_where_it_broke() {
    let bytes = content();
    let cuts = [Behaviour::Cut(70_000), Behaviour::Cut(50_000), Behaviour::Serve];
    let server = Server::new(&bytes, cuts);
    let sets = Sets::of(&[server.url("file.bin")], &bytes);
    sets.download(&quick()).unwrap();
    assert!(sets.complete("file.bin") == bytes);
    let requests = server.requests();
    let ranges: Vec<_> = requests.iter().map(|r| r.range.as_deref()).collect();
    assert_eq!(ranges, [None, Some("bytes=70000-"), Some("bytes=120000-")]);
    // The tag ensures that both halves are of one version.
    assert_eq!(requests[1].if_range.as_deref(), Some("\"v1\""));
}

#[test]
fn another_call_goes_on_from_what_an_earlier_one_left() {
    let bytes = content();
    let server = Server::new(&bytes, [Behaviour::Cut(70_000), Behaviour::Serve]);
    let sets = Sets::of(&[server.url("file.bin")], &bytes);
    let failures = sets.failures(&once());
    assert!(matches!(failures[..], [FetchError::Connection(_)]), "{failures:?}");
    assert!(sets.part().unwrap() == bytes[..70_000]);
    sets.download(&once()).unwrap();
    assert!(sets.complete("file.bin") == bytes);
    assert_eq!(server.requests()[1].range.as_deref(), Some("bytes=70000-"));
}

#[test]
fn a_part_goes_on_at_another_mirror_when_the_sum_will_tell() {
    let bytes = content();
    let first = Server::new(&bytes, [Behaviour::Cut(70_000)]);
    let second = Server::new(&bytes, [Behaviour::Serve]);
    let sets = Sets::of(&[first.url("file.bin"), second.url("file.bin")], &bytes);
    sets.download(&once()).unwrap();
    assert!(sets.complete("file.bin") == bytes);
    let request = &second.requests()[0];
    assert_eq!(request.range.as_deref(), Some("bytes=70000-"));
    assert_eq!(request.if_range, None, "the tag is another server's");
}

#[test]
fn servers_that_cannot_resume_are_started_anew() {
    let bytes = content();
    for bad in [Behaviour::IgnoreRange, Behaviour::Unsatisfiable, Behaviour::WrongRange] {
        let server = Server::new(&bytes, [Behaviour::Cut(70_000), bad.clone(), Behaviour::Serve]);
        let sets = Sets::of(&[server.url("file.bin")], &bytes);
        sets.download(&quick()).unwrap();
        assert!(sets.complete("file.bin") == bytes, "{bad:?}");
        let requests = server.requests();
        assert_eq!(requests[1].range.as_deref(), Some("bytes=70000-"));
        // After a refusal the old part is not continued.
        assert!(requests.get(2).is_none_or(|r| r.range.is_none()), "{bad:?}");
    }
}

#[test]
fn two_versions_are_never_mixed() {
    let (old, new) = (vec![1; 100_000], content());
    // Without a sum in the manifest only the server's tag can tell.
    let server = Server::new(&new, [Behaviour::Serve]);
    let sets = Sets::new(&addresses(&[server.url("file.bin")]));
    let work = sets.path(".downloads/set");
    std::fs::create_dir_all(&work).unwrap();
    std::fs::write(work.join("file.bin.part"), &old).unwrap();
    let origin = format!("{}\n\"v0\"", server.url("file.bin"));
    std::fs::write(work.join("file.bin.part-origin"), origin).unwrap();
    sets.download(&quick()).unwrap();
    assert!(sets.complete("file.bin") == new);
    assert_eq!(server.requests()[0].if_range.as_deref(), Some("\"v0\""));

    // A part of unknown origin is not trusted at all.
    std::fs::remove_dir_all(sets.path("set")).unwrap();
    std::fs::create_dir_all(&work).unwrap();
    std::fs::write(work.join("file.bin.part"), &old).unwrap();
    sets.download(&quick()).unwrap();
    assert!(sets.complete("file.bin") == new);
    assert_eq!(server.requests()[1].range, None);
}

#[test]
fn a_part_with_wrong_bytes_costs_one_more_attempt() {
    let bytes = content();
    let server = Server::new(&bytes, [Behaviour::Serve]);
    let sets = Sets::of(&[server.url("file.bin")], &bytes);
    std::fs::create_dir_all(sets.path(".downloads/set")).unwrap();
    std::fs::write(sets.path(".downloads/set/file.bin.part"), vec![1; 5000]).unwrap();
    sets.download(&quick()).unwrap();
    assert!(sets.complete("file.bin") == bytes);
    let ranges: Vec<_> = server.requests().into_iter().map(|r| r.range).collect();
    assert_eq!(ranges, [Some("bytes=5000-".into()), None]);
}

#[test]
fn wrong_bytes_are_deleted_and_the_next_mirror_is_asked() {
    let bytes = content();
    let liar = Server::new(&[9; 200_000], [Behaviour::Serve]);
    let honest = Server::new(&bytes, [Behaviour::Serve]);
    let sets = Sets::of(&[liar.url("file.bin"), honest.url("file.bin")], &bytes);
    sets.download(&quick()).unwrap();
    assert!(sets.complete("file.bin") == bytes);
    // Asking the same server for the same bytes again would not help.
    assert_eq!((liar.requests().len(), honest.requests().len()), (1, 1));
    assert_eq!(honest.requests()[0].range, None, "nothing of the wrong file was kept");

    let alone = Sets::of(&[liar.url("file.bin")], &bytes);
    assert!(matches!(alone.failures(&quick())[..], [FetchError::Sum { .. }]));
    assert_eq!(alone.part(), None);
    assert!(!alone.path(".downloads/set/file.bin").exists());
}

#[test]
fn statuses_that_can_pass_are_retried_and_others_are_not() {
    let bytes = content();
    for (status, asked) in [(404, 1), (403, 1), (500, 3), (503, 3), (429, 3)] {
        let server = Server::new(&bytes, [Behaviour::Status(status)]);
        let sets = Sets::of(&[server.url("file.bin")], &bytes);
        let failures = sets.failures(&quick());
        assert_eq!(failures.len(), asked, "{status}");
        assert!(failures.iter().all(|e| matches!(e, FetchError::Status(s) if *s == status)));
    }
    let down = Server::new(&bytes, [Behaviour::Status(500)]);
    let sets = Sets::of(&[down.url("file.bin")], &bytes);
    let error = sets.download(&quick()).unwrap_err().to_string();
    assert!(error.contains("answered 500 (3 times)"), "told once: {error}");
    let troubled = [Behaviour::Status(503), Behaviour::Status(500), Behaviour::Serve];
    let server = Server::new(&bytes, troubled);
    let sets = Sets::of(&[server.url("file.bin")], &bytes);
    sets.download(&quick()).unwrap();
    assert!(sets.complete("file.bin") == bytes);
}

#[test]
fn mirrors_are_asked_in_turn_and_all_failures_are_told() {
    let bytes = content();
    let gone = Server::new(&bytes, [Behaviour::Status(404)]);
    let forbidden = Server::new(&bytes, [Behaviour::Status(403)]);
    let good = Server::new(&bytes, [Behaviour::Serve]);
    let urls = [gone.url("file.bin"), forbidden.url("b/file.bin"), good.url("c/file.bin")];
    let sets = Sets::of(&urls, &bytes);
    sets.download(&quick()).unwrap();
    assert!(sets.complete("file.bin") == bytes);
    assert_eq!(good.requests()[0].path, "/c/file.bin");

    let sets = Sets::of(&urls[..2], &bytes);
    let error = sets.download(&quick()).unwrap_err().to_string();
    for url in &urls[..2] {
        assert!(error.contains(url), "{error}");
    }
    assert!(error.contains("404") && error.contains("403"), "{error}");
    // A server that speaks no TLS, and no server at all.
    let sets = Sets::of(&[good.url("file.bin").replace("http:", "https:")], &bytes);
    assert!(matches!(sets.failures(&once())[..], [FetchError::Connection(_)]));
    let sets = Sets::of(&[Server::closed("file.bin")], &bytes);
    assert!(matches!(sets.failures(&quick())[0], FetchError::Connection(_)));
}

#[test]
fn a_wrong_content_length_is_refused_before_anything_is_written() {
    let bytes = content();
    for announced in [100_000, 300_000] {
        let server = Server::new(&bytes, [Behaviour::Announce(announced)]);
        let sets = Sets::of(&[server.url("file.bin")], &bytes);
        let failures = sets.failures(&quick());
        let [FetchError::Size { expected: 200_000, found }] = failures[..] else {
            panic!("{failures:?}")
        };
        assert_eq!((found, sets.part()), (announced, None));
    }
}

#[test]
fn no_more_is_written_than_the_manifest_says() {
    let bytes = content();
    // No length is announced, and more comes than should.
    let server = Server::new(&[7; 1_000_000], [Behaviour::NoLength]);
    let sets = Sets::of(&[server.url("file.bin")], &bytes);
    let mut most = 0;
    let result = download("set", sets.0.path(), &quick(), &mut |event| {
        if let DownloadEvent::Bytes { done, .. } = event {
            most = done;
        }
    });
    let Err(DataError::Download { failures, .. }) = result else { panic!("{result:?}") };
    assert!(matches!(failures[0].error, FetchError::TooLarge { limit: 200_000 }));
    assert!(most <= 200_000, "{most}");
    assert_eq!(sets.part(), None);

    // Where the manifest says nothing, the cap holds.
    let sets = Sets::new(&addresses(&[server.url("file.bin")]));
    let capped = DownloadOptions { max_bytes: 5000, ..quick() };
    assert!(matches!(sets.failures(&capped)[..], [FetchError::TooLarge { limit: 5000 }]));
    sets.download(&quick()).unwrap();
    assert_eq!(sets.complete("file.bin").len(), 1_000_000);

    let server = Server::new(&bytes[..150_000], [Behaviour::NoLength]);
    let sets = Sets::of(&[server.url("file.bin")], &bytes);
    let failures = sets.failures(&once());
    assert!(matches!(failures[..], [FetchError::Short { expected: 200_000, found: 150_000 }]));
}

#[test]
fn silence_ends_in_a_timeout_and_the_part_is_kept() {
    let bytes = content();
    let server = Server::new(&bytes, [Behaviour::Stall(60_000), Behaviour::Serve]);
    let sets = Sets::of(&[server.url("file.bin")], &bytes);
    // Long enough for real answers on a busy machine.
    let impatient = DownloadOptions { idle_timeout: Duration::from_millis(700), ..once() };
    let failures = sets.failures(&impatient);
    assert!(matches!(failures[..], [FetchError::Timeout]), "{failures:?}");
    sets.download(&once()).unwrap();
    assert!(sets.complete("file.bin") == bytes);
    assert_eq!(server.requests()[1].range.as_deref(), Some("bytes=60000-"));

    let mute = Server::new(&bytes, [Behaviour::Mute]);
    let sets = Sets::of(&[mute.url("file.bin")], &bytes);
    assert!(matches!(sets.failures(&impatient)[..], [FetchError::Timeout]));
}

#[test]
fn redirects_are_followed_with_the_range_and_not_for_ever() {
    let bytes = content();
    let target = Server::new(&bytes, [Behaviour::Cut(40_000), Behaviour::Serve]);
    let start = Server::new(&[], [Behaviour::Redirect(target.url("else"))]);
    let sets = Sets::of(&[start.url("file.bin")], &bytes);
    sets.download(&quick()).unwrap();
    assert!(sets.complete("file.bin") == bytes);
    assert_eq!(target.requests()[1].range.as_deref(), Some("bytes=40000-"));

    let round = Server::new(&[], [Behaviour::Redirect("/file.bin".into())]);
    let sets = Sets::of(&[round.url("file.bin")], &bytes);
    assert!(matches!(sets.failures(&once())[..], [FetchError::Connection(_)]));
    assert!(round.requests().len() < 20);
}

#[test]
fn a_second_process_is_kept_out() {
    let bytes = content();
    let server = Server::new(&bytes, [Behaviour::Serve]);
    let sets = Sets::of(&[server.url("file.bin")], &bytes);
    let lock = std::fs::File::create(sets.path(".set.lock")).unwrap();
    lock.lock().unwrap();
    let error = sets.download(&quick()).unwrap_err();
    assert!(matches!(&error, DataError::Locked { name, .. } if name == "set"), "{error}");
    assert!(error.to_string().contains("wait"), "{error}");
    assert_eq!(server.requests().len(), 0);
    drop(lock);
    sets.download(&quick()).unwrap();
}

#[test]
fn offline_says_what_is_wanted_where_and_takes_what_is_there() {
    let bytes = content();
    let server = Server::new(&bytes, [Behaviour::Serve]);
    let url = server.url("file.bin");
    let sets = Sets::of(std::slice::from_ref(&url), &bytes);
    let offline = DownloadOptions { offline: true, ..quick() };
    let work = sets.path(".downloads/set");
    let error = sets.download(&offline).unwrap_err();
    assert!(matches!(&error, DataError::Offline { files, .. } if files.len() == 1), "{error}");
    let text = error.to_string();
    assert!(text.contains(&url) && text.contains(work.to_str().unwrap()), "{text}");

    // A wrong file is named and stays where it is.
    std::fs::write(work.join("file.bin"), vec![0; 200_000]).unwrap();
    let error = sets.download(&offline).unwrap_err().to_string();
    assert!(error.contains("SHA-256"), "{error}");
    assert!(work.join("file.bin").exists());

    std::fs::write(work.join("file.bin"), &bytes).unwrap();
    sets.download(&offline).unwrap();
    assert!(sets.complete("file.bin") == bytes);
    assert!(sets.download(&offline).unwrap().already_here);
    assert_eq!(server.requests().len(), 0, "offline means offline");
}

#[test]
fn a_mirror_is_tried_first() {
    let bytes = content();
    let origin = Server::new(&bytes, [Behaviour::Serve]);
    let mirror = Server::new(&bytes, [Behaviour::Serve]);
    let urls = [origin.url("deep/file.bin")];
    let with = |place: &str| DownloadOptions { mirror: Some(Mirror::new(place)), ..quick() };

    let sets = Sets::of(&urls, &bytes);
    sets.download(&with(&mirror.url("copies/"))).unwrap();
    assert_eq!(mirror.requests()[0].path, "/copies/file.bin");
    assert_eq!(origin.requests().len(), 0);

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file.bin"), &bytes).unwrap();
    let sets = Sets::of(&urls, &bytes);
    let local = with(folder.path().to_str().unwrap());
    sets.download(&DownloadOptions { offline: true, ..local.clone() }).unwrap();
    assert!(sets.complete("file.bin") == bytes);
    assert!(folder.path().join("file.bin").exists(), "the mirror keeps its copy");

    // A wrong copy is passed over.
    std::fs::write(folder.path().join("file.bin"), vec![3; 200_000]).unwrap();
    let sets = Sets::of(&urls, &bytes);
    sets.download(&local).unwrap();
    assert!(sets.complete("file.bin") == bytes);
    assert_eq!(origin.requests().len(), 1);
}

/// Names go into the headers as they are; `tar` itself would refuse some.
fn tar_gz(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in entries {
        let mut header = tar::Header::new_old();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

#[test]
fn archives_are_unpacked_whole_or_not_at_all() {
    let good = tar_gz(&[("a/1.bin", b"one"), ("a/2.bin", b"two")]);
    let server = Server::new(&good, [Behaviour::Serve]);
    let sets = Sets::of(&[server.url("set.tar.gz")], &good);
    let report = sets.download(&quick()).unwrap();
    assert_eq!((report.files, report.bytes), (2, 6));
    assert_eq!(sets.complete("a/2.bin"), b"two");
    assert!(!sets.path("set/set.tar.gz").exists());

    let evil = tar_gz(&[("a/1.bin", b"one"), ("../evil", b"two")]);
    let one = UnpackLimits { entries: 1, ..UnpackLimits::default() };
    let cut = &good[..good.len() / 2];
    for (archive, limits, words) in [
        (&evil[..], UnpackLimits::default(), "points out of the archive"),
        (cut, UnpackLimits::default(), "set.tar.gz"),
        (&good, one, "more than 1 entries"),
    ] {
        let server = Server::new(archive, [Behaviour::Serve]);
        let sets = Sets::of(&[server.url("set.tar.gz")], archive);
        let error = sets.download(&DownloadOptions { limits, ..quick() }).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!sets.path("set").exists() && !sets.path(".downloads/set.unpacked").exists());
        assert!(!sets.path("evil").exists() && !sets.path(".downloads/evil").exists());
    }
}

#[test]
fn what_can_never_work_is_said_before_anything_is_fetched() {
    let cases = [
        ("url = \"https://a.org/\"", "file name"),
        ("url = \"file:///etc/passwd\"", "http"),
        ("url = \"https://a.org/x\"\nmirrors = [\"ftp://b.org/x\"]", "http"),
        ("url = \"https://a.org/x\"\nsha256 = \"12\"", "64 hexadecimal digits"),
        ("url = \"https://a.org/x\"\n[[files]]\nurl = \"https://b.org/x\"", "two files"),
    ];
    for (file, words) in cases {
        let error = Sets::new(file).download(&quick()).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("set.toml"), "{error}");
    }
    let root = tempfile::tempdir().unwrap();
    let unknown = download("none", root.path(), &quick(), &mut |_| ()).unwrap_err();
    assert!(matches!(unknown, DataError::Unknown { .. }));
    let sets = Sets::new("url = \"https://a.org/x\"");
    let manifest = std::fs::read_to_string(sets.path("set.toml")).unwrap();
    std::fs::write(sets.path("set.toml"), manifest.split("[[files]]").next().unwrap()).unwrap();
    let error = sets.download(&quick()).unwrap_err();
    assert!(matches!(error, DataError::Absent { .. }));
    assert!(error.to_string().contains("https://example.org"), "{error}");
}

#[test]
fn a_part_that_cannot_be_written_is_an_error_of_that_file() {
    let bytes = content();
    let server = Server::new(&bytes, [Behaviour::Serve]);
    let sets = Sets::of(&[server.url("file.bin")], &bytes);
    // A folder where the part should be.
    std::fs::create_dir_all(sets.path(".downloads/set/file.bin.part/x")).unwrap();
    let failures = sets.failures(&quick());
    assert!(failures.iter().all(|e| matches!(e, FetchError::File { .. })), "{failures:?}");
}

/// Run by the next test, with a proxy in its environment.
#[test]
#[ignore = "needs the environment that the next test gives it"]
fn child_behind_a_proxy() {
    let root = PathBuf::from(std::env::var_os("SETS").unwrap());
    download("set", &root, &quick(), &mut |_| ()).unwrap();
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    let bytes = content();
    let proxy = Server::new(&bytes, [Behaviour::Serve]);
    // A host that does not exist, so that only the proxy can answer.
    let sets = Sets::of(&["http://images.invalid/file.bin".into()], &bytes);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    for name in ["ALL_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        child.env_remove(name).env_remove(name.to_lowercase());
    }
    let child = child
        .args(["--exact", "child_behind_a_proxy", "--ignored"])
        .env("HTTP_PROXY", proxy.url(""))
        .env("SETS", sets.0.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(sets.complete("file.bin") == bytes);
    let paths: Vec<_> = proxy.requests().into_iter().map(|r| r.path).collect();
    assert!(paths.iter().any(|path| path.contains("images.invalid")), "{paths:?}");
}
