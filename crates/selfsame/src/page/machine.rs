//! The machine and the program in a report.

use std::env::consts;
use std::fs;

/// Name and value of each known fact. Unknown facts are left out.
///
/// `git_commit` is the commit of the program. Some facts are only known on Linux.
pub fn describe(git_commit: Option<&str>) -> Vec<(String, String)> {
    let program = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
    let program = git_commit.map_or(program.to_owned(), |commit| format!("{program} ({commit})"));
    let cores = std::thread::available_parallelism().ok().map(|count| count.to_string());
    let known = [
        ("Processor", read("/proc/cpuinfo", "model name", ':')),
        ("Vector extensions", Some(vector_extensions().join(", ")).filter(|list| !list.is_empty())),
        ("Logical cores", cores),
        ("Memory", read("/proc/meminfo", "MemTotal", ':').and_then(|total| gibibytes(&total))),
        ("System", Some(read("/etc/os-release", "PRETTY_NAME", '=').unwrap_or(consts::OS.into()))),
        ("Kernel", fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|s| s.trim().into())),
        ("Program", Some(program)),
        ("Built for", Some(target())),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The first value of `key` in a file of lines `key<separator>value`.
fn read(path: &str, key: &str, separator: char) -> Option<String> {
    value_of(&fs::read_to_string(path).ok()?, key, separator)
}

fn value_of(text: &str, key: &str, separator: char) -> Option<String> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(separator));
    let (_, value) = pairs.find(|(found, _)| found.trim() == key)?;
    Some(value.trim().trim_matches('"').to_owned()).filter(|value| !value.is_empty())
}

/// `24684092 kB` as `23.5 GiB`.
fn gibibytes(kibibytes: &str) -> Option<String> {
    let count: f64 = kibibytes.strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{:.1} GiB", count / f64::from(1 << 20)))
}

/// The vector extensions that decide the speed of kernels, as found at run time.
fn vector_extensions() -> Vec<&'static str> {
    macro_rules! found {
        ($detected:ident: $($name:tt),*) => { vec![$(($name, std::arch::$detected!($name))),*] };
    }
    #[cfg(target_arch = "x86_64")]
    let all = found!(is_x86_feature_detected:
        "sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vnni", "avx512bf16");
    #[cfg(target_arch = "aarch64")]
    let all = found!(is_aarch64_feature_detected: "neon", "dotprod", "i8mm", "bf16", "sve");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let all: Vec<(&str, bool)> = Vec::new();
    all.into_iter().filter_map(|(name, detected)| detected.then_some(name)).collect()
}

/// The target triple, from the compiler's `cfg` values.
fn target() -> String {
    match (consts::OS, cfg!(target_env = "musl"), cfg!(target_env = "msvc")) {
        ("linux", musl, _) => {
            format!("{}-unknown-linux-{}", consts::ARCH, if musl { "musl" } else { "gnu" })
        }
        ("macos", ..) => format!("{}-apple-darwin", consts::ARCH),
        ("windows", _, msvc) => {
            format!("{}-pc-windows-{}", consts::ARCH, if msvc { "msvc" } else { "gnu" })
        }
        (other, ..) => format!("{}-{other}", consts::ARCH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text = "model\t\t: 2\nmodel name\t: AMD EPYC\nNAME=\"Debian\"\nEMPTY=\n";
        assert_eq!(value_of(text, "model name", ':').as_deref(), Some("AMD EPYC"));
        assert_eq!(value_of(text, "NAME", '=').as_deref(), Some("Debian"));
        assert_eq!(value_of(text, "EMPTY", '='), None);
        assert_eq!(value_of(text, "name", ':'), None);
        assert_eq!(gibibytes("24684092 kB").as_deref(), Some("23.5 GiB"));
        assert_eq!(gibibytes("many"), None);
    }

    #[test]
    fn the_program_is_always_named() {
        let described = describe(Some("17d4af3"));
        let program = described.iter().find(|(name, _)| name == "Program").unwrap();
        assert!(program.1.ends_with("(17d4af3)"));
        assert!(described.iter().all(|(_, value)| !value.is_empty()));
    }
}
