//! What `datasets/NAME.toml` says about a data set.

use serde::Deserialize;

use crate::FileFormat;

/// What a data set is, as `datasets/NAME.toml` says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// One sentence.
    pub description: String,
    /// How its files are laid out.
    pub layout: FileFormat,
    /// Images to train on.
    pub train_images: u64,
    /// Images to test on.
    pub test_images: u64,
    /// SPDX identifier, or words.
    pub licence: String,
    /// Whom to cite.
    pub citation: String,
    /// Where it comes from.
    pub homepage: String,
    /// Split the only pair of IDX files after this many images.
    #[serde(default)]
    pub split_at: Option<usize>,
    /// Names of the classes in the order of their labels.
    #[serde(default)]
    pub classes: Vec<String>,
    /// The files to be downloaded, if any.
    #[serde(default)]
    pub files: Vec<ManifestFile>,
}

/// One file of a data set.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Where to get it. The last part of the path is its name.
    pub url: String,
    /// Other places with the same bytes, in the order to try.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Its size, if known.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Its SHA-256 in hexadecimal, if known.
    #[serde(default)]
    pub sha256: Option<String>,
}

impl ManifestFile {
    /// Its name, or `None` if the URL does not end with one that is safe to write.
    pub fn name(&self) -> Option<&str> {
        let path = self.url.split(['?', '#']).next()?.split_once("://")?.1;
        let (_, name) = path.rsplit_once('/')?;
        let safe = !name.starts_with('.') && !name.contains(['\\', ':', '\0']);
        (safe && !name.is_empty()).then_some(name)
    }
}

impl Manifest {
    /// How to get the files.
    pub(crate) fn hint(&self, name: &str) -> String {
        if self.files.is_empty() {
            let home = &self.homepage;
            return format!(
                "they cannot be downloaded by this program; get them from {home} and import the \
                 folder or archive with `selfsame dataset import {name} PATH`"
            );
        }
        format!(
            "get them with `selfsame dataset download {name}`, or import a copy with \
             `selfsame dataset import {name} PATH`"
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SHAPES_TOML: &str = r#"
        description = "Drawn."
        layout = "drawn"
        train_images = 8000
        test_images = 2000
        licence = "MIT"
        citation = "none"
        homepage = "none"
    "#;

    #[test]
    fn every_layout_has_its_name_in_manifests() {
        for (name, layout) in [
            ("drawn", FileFormat::Drawn),
            ("idx", FileFormat::Idx),
            ("cifar-binary", FileFormat::CifarBinary),
            ("image-folder", FileFormat::ImageFolder),
            ("stl10", FileFormat::Stl10),
            ("svhn", FileFormat::Svhn),
            ("tiny-imagenet", FileFormat::TinyImagenet),
            ("web-dataset", FileFormat::WebDataset),
            ("parquet", FileFormat::Parquet),
        ] {
            let text = SHAPES_TOML.replace("drawn", name);
            let text = text.replace("Drawn.", "");
            assert_eq!(toml::from_str::<Manifest>(&text).unwrap().layout, layout);
        }
    }

    #[test]
    fn the_name_of_a_file_is_the_safe_end_of_its_url() {
        let name = |url: &str| {
            let file = ManifestFile { url: url.into(), mirrors: vec![], bytes: None, sha256: None };
            file.name().map(str::to_owned)
        };
        assert_eq!(name("https://a.org/b/c.tar.gz?d=/e#f").as_deref(), Some("c.tar.gz"));
        for bad in ["https://a.org", "https://a.org/", "https://a.org/b/..", "c.tar", "x://y/a\\b"]
        {
            assert_eq!(name(bad), None, "{bad}");
        }
    }
}
