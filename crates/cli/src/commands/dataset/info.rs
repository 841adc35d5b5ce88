//! `selfsame dataset info`

use std::path::Path;

use selfsame::data::info;
use selfsame::workshop::words::plain;
use serde_json::json;

pub fn run(name: &str, json: bool, root: &Path) -> anyhow::Result<()> {
    selfsame::unpack_built_in(name)?;
    let info = info(name, root)?;
    let manifest = info.entry.manifest.as_ref();
    let files = manifest.map_or(&[][..], |m| &m.files);
    if json {
        let files: Vec<_> = files
            .iter()
            .map(|file| {
                json!({
                    "url": file.url, "mirrors": file.mirrors,
                    "bytes": file.bytes, "sha256": file.sha256,
                })
            })
            .collect();
        let value = json!({
            "name": name, "present": info.entry.present, "folder": info.folder.display().to_string(),
            "files_here": info.files, "bytes_here": info.bytes, "has_sums": info.has_sums,
            "description": manifest.map(|m| &m.description),
            "train_images": manifest.map(|m| m.train_images),
            "test_images": manifest.map(|m| m.test_images),
            "classes": manifest.map(|m| &m.classes),
            "licence": manifest.map(|m| &m.licence),
            "citation": manifest.map(|m| &m.citation),
            "homepage": manifest.map(|m| &m.homepage),
            "files": files,
        });
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    println!("{name}");
    match manifest {
        Some(m) => {
            println!("  {}", plain(&m.description));
            println!("  images    {} to train on, {} to test on", m.train_images, m.test_images);
            if !m.classes.is_empty() {
                println!("  classes   {}", plain(&m.classes.join(", ")));
            }
            println!("  licence   {}", plain(&m.licence));
            println!("  cite      {}", plain(&m.citation));
            println!("  homepage  {}", plain(&m.homepage));
        }
        None => println!("  imported; there is no manifest"),
    }
    let here = match (info.entry.present, info.files) {
        (true, 0) => "needs none".to_owned(),
        (true, count) => {
            let sums = if info.has_sums { "with" } else { "without" };
            let (size, folder) = (info.bytes as f64 / 1e6, info.folder.display());
            format!("{count} ({size:.1} MB) in {folder}, {sums} SHA256SUMS")
        }
        (false, _) if files.is_empty() => {
            format!("not here; import a copy with `selfsame dataset import {name} PATH`")
        }
        (false, _) => format!("not here; `selfsame dataset download {name}`"),
    };
    println!("  files     {here}");
    for file in files {
        let size =
            file.bytes.map_or("size unknown".into(), |b| format!("{:.1} MB", b as f64 / 1e6));
        println!("  from      {} ({size})", plain(&file.url));
        for mirror in &file.mirrors {
            println!("         or {}", plain(mirror));
        }
        if let Some(sum) = &file.sha256 {
            println!("    sha256  {}", plain(sum));
        }
    }
    Ok(())
}
