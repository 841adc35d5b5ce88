//! Reads and writes the weights of any module, as named arrays and as safetensors files.
//!
//! Names are paths through the module (`layer1.0.conv1.weight`). For our encoders they are
//! torchvision's names. Shapes and layouts are PyTorch's. A file is untrusted: everything in it is
//! checked before a module gets it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::ModelError;
use crate::named::{NamedMapper, NamedVisitor, map_named, visit_named};

/// Weight files beyond this are refused: ten times an f32 ViT-H.
const MAX_FILE_BYTES: u64 = 32 << 30;
/// The metadata key for a JSON text about the content. There is only one key, because the format
/// does not fix the order of several, and equal weights must give equal bytes.
const METADATA_KEY: &str = "selfsame";

/// A dense f32 array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// `shape.product()` values.
    pub values: Vec<f32>,
}

/// Arrays by name, in the order of their names.
pub type StateDict = BTreeMap<String, Array>;

/// Bytes by name. In a safetensors file they are u8 vectors next to the arrays.
pub type Attachments = BTreeMap<String, Vec<u8>>;

/// The content of a safetensors file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contents {
    /// Its f32 tensors.
    pub arrays: StateDict,
    /// Its one-dimensional u8 tensors.
    pub attachments: Attachments,
    /// The JSON text under our metadata key.
    pub metadata: Option<String>,
}

/// Every parameter and running statistic of a module by its path, converted to f32.
///
/// # Errors
/// The device cannot return a tensor as f32.
pub fn state_dict<M: Module>(module: &M) -> Result<StateDict, ModelError> {
    let mut visitor = Collector { found: Ok(StateDict::new()) };
    visit_named(module, &mut visitor);
    visitor.found
}

/// Puts the arrays into a module of the same architecture. Devices and gradient settings stay.
///
/// # Errors
/// [`ModelError::Mismatch`] when names or shapes differ in any way; then no weight is changed.
pub fn load_state_dict<M: Module>(module: M, dict: &StateDict) -> Result<M, ModelError> {
    let mut check = Checker { dict, seen: 0, issues: vec![], bad: 0 };
    visit_named(&module, &mut check);
    let missing = check.issues.len() - check.bad;
    let unexpected = dict.len() - check.seen;
    if missing + check.bad + unexpected > 0 {
        let first = match check.issues.into_iter().next() {
            Some(issue) => issue,
            None => format!("the model has no {}", first_unseen(&module, dict)),
        };
        return Err(ModelError::Mismatch { missing, unexpected, mismatched: check.bad, first });
    }
    Ok(map_named(module, &mut Loader { dict }))
}

/// A name of `dict` without a parameter in `module`.
fn first_unseen<M: Module>(module: &M, dict: &StateDict) -> String {
    let own = state_dict(module).unwrap_or_default();
    dict.keys().find(|name| !own.contains_key(*name)).cloned().unwrap_or_default()
}

/// The arrays without torchvision's classifier (`fc.weight`, `fc.bias`). Our encoders have none.
pub fn without_classifier(mut dict: StateDict) -> StateDict {
    dict.retain(|name, _| !name.starts_with("fc."));
    dict
}

/// The bytes of a safetensors file with the arrays.
///
/// `metadata` is a JSON text about them. [`read_safetensors`] returns it.
///
/// # Errors
/// The shape and the length of an array disagree.
pub fn to_safetensors(dict: &StateDict, metadata: &str) -> Result<Vec<u8>, ModelError> {
    to_safetensors_with(dict, &Attachments::new(), metadata)
}

/// [`to_safetensors`] with bytes next to the arrays. A name must not be in both.
///
/// # Errors
/// As there.
pub fn to_safetensors_with(
    dict: &StateDict,
    attachments: &Attachments,
    metadata: &str,
) -> Result<Vec<u8>, ModelError> {
    let bytes: Vec<(&String, &Array, Vec<u8>)> = dict
        .iter()
        .map(|(name, a)| (name, a, a.values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, array, bytes)| {
            TensorView::new(Dtype::F32, array.shape.clone(), bytes)
                .map(|view| (name.as_str(), view))
        })
        .chain(attachments.iter().map(|(name, bytes)| {
            TensorView::new(Dtype::U8, vec![bytes.len()], bytes).map(|view| (name.as_str(), view))
        }))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| ModelError::Format(e.to_string()))?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), metadata.to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(|e| ModelError::Format(e.to_string()))
}

/// Reads arrays, attachments and our metadata text (if any) from the bytes of a safetensors file.
///
/// # Errors
/// The file is damaged, or a tensor is neither f32 nor a vector of bytes. PyTorch's integer batch
/// counters (`num_batches_tracked`) are skipped: they have no use here.
pub fn contents(bytes: &[u8]) -> Result<Contents, ModelError> {
    let format = |e: safetensors::SafeTensorError| ModelError::Format(e.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
    let metadata = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY).cloned());
    let mut contents = Contents { metadata, ..Contents::default() };
    for (name, view) in SafeTensors::deserialize(bytes).map_err(format)?.iter() {
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        match (view.dtype(), view.shape()) {
            (Dtype::F32, shape) => {
                let values = view.data().chunks_exact(4);
                let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                contents.arrays.insert(name.to_owned(), Array { shape: shape.to_vec(), values });
            }
            (Dtype::U8, [_]) => {
                contents.attachments.insert(name.to_owned(), view.data().to_vec());
            }
            (dtype, _) => {
                return Err(ModelError::DType {
                    name: name.to_owned(),
                    dtype: format!("{dtype:?}"),
                });
            }
        }
    }
    Ok(contents)
}

/// The arrays and our metadata text of a safetensors file.
///
/// # Errors
/// As [`contents`]; or the file cannot be read or is larger than 32 GiB.
pub fn read_safetensors(path: &Path) -> Result<(StateDict, Option<String>), ModelError> {
    let contents = contents(&read_bytes(path)?)?;
    Ok((contents.arrays, contents.metadata))
}

/// The bytes of a weight file.
///
/// # Errors
/// The file cannot be read or is larger than 32 GiB.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, ModelError> {
    let read = |source| ModelError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(read)?.len();
    if bytes > MAX_FILE_BYTES {
        let path = path.to_owned();
        return Err(ModelError::TooLarge { path, bytes, limit: MAX_FILE_BYTES });
    }
    std::fs::read(path).map_err(read)
}

struct Collector {
    found: Result<StateDict, ModelError>,
}

impl NamedVisitor for Collector {
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
        let Ok(found) = &mut self.found else { return };
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let data = tensor.try_into_data_dtype(DType::F32).map_err(|e| format!("{e:?}"));
        match data.and_then(|d| d.try_into_vec::<f32>().map_err(|e| format!("{e:?}"))) {
            Ok(values) => {
                found.insert(name.to_owned(), Array { shape, values });
            }
            Err(error) => {
                self.found = Err(ModelError::Device(format!("{name}: {error}")));
            }
        }
    }
}

struct Checker<'a> {
    dict: &'a StateDict,
    seen: usize,
    issues: Vec<String>,
    bad: usize,
}

impl NamedVisitor for Checker<'_> {
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
        let shape = param.lazy_shape();
        match self.dict.get(name) {
            None => self.issues.push(format!("the file has no {name}")),
            Some(array) => {
                self.seen += 1;
                if array.shape[..] != shape[..]
                    || array.values.len() != array.shape.iter().product::<usize>()
                {
                    self.bad += 1;
                    self.issues.push(format!(
                        "{name} is {:?} in the file and {:?} in the model",
                        array.shape,
                        &shape[..]
                    ));
                }
            }
        }
    }
}

struct Loader<'a> {
    dict: &'a StateDict,
}

impl NamedMapper for Loader<'_> {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(array) = self.dict.get(name) else { return param };
        param.map(|old| {
            let data = TensorData::new(array.values.clone(), array.shape.clone());
            let new = Tensor::from_data(data, &old.device());
            new.set_require_grad(old.is_require_grad())
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;
    use crate::init::WeightInit;
    use crate::{Architecture, Encoder, ResNet, ResNetConfig, Stem};

    fn resnet(architecture: Architecture, base_width: usize, seed: u64) -> ResNet {
        let config =
            ResNetConfig { architecture, stem: Stem::Cifar, base_width, zero_init_residual: false };
        config.init(&mut WeightInit::new(seed, 0, &Device::flex())).unwrap()
    }

    #[test]
    fn names_are_torchvisions() {
        let dict = state_dict(&resnet(Architecture::ResNet50, 2, 0)).unwrap();
        for name in [
            "conv1.weight",
            "bn1.running_var",
            "layer1.0.conv3.weight",
            "layer1.0.downsample.0.weight",
            "layer1.0.downsample.1.bias",
            "layer4.2.bn3.running_mean",
        ] {
            assert!(dict.contains_key(name), "{name} is missing from {:?}", dict.keys());
        }
        // torchvision's resnet50 has 320 entries: 53 batch counters, and fc.weight and fc.bias.
        assert_eq!(dict.len(), 320 - 53 - 2);
    }

    #[test]
    fn a_round_trip_through_a_file_keeps_every_bit() {
        let (a, b) = (resnet(Architecture::ResNet18, 4, 0), resnet(Architecture::ResNet18, 4, 1));
        let bytes = to_safetensors(&state_dict(&a).unwrap(), r#"{"role":"encoder"}"#).unwrap();
        let Contents { arrays: dict, metadata, .. } = contents(&bytes).unwrap();
        assert_eq!(metadata.as_deref(), Some(r#"{"role":"encoder"}"#));
        let b = load_state_dict(b, &dict).unwrap();
        assert_eq!(state_dict(&a).unwrap(), state_dict(&b).unwrap());
        let x = Tensor::random([2, 3, 8, 8], Distribution::Default, &Device::flex());
        assert_eq!(a.forward(x.clone()).into_data(), b.forward(x).into_data());
        // Equal weights, equal files.
        assert_eq!(bytes, to_safetensors(&dict, r#"{"role":"encoder"}"#).unwrap());
    }

    #[test]
    fn another_architecture_is_refused_with_the_first_difference() {
        let wide = state_dict(&resnet(Architecture::ResNet18, 8, 0)).unwrap();
        let error = load_state_dict(resnet(Architecture::ResNet18, 4, 0), &wide).unwrap_err();
        assert!(error.to_string().contains("conv1.weight is [8, 3, 3, 3] in the file"), "{error}");
        let deep = state_dict(&resnet(Architecture::ResNet34, 4, 0)).unwrap();
        let error = load_state_dict(resnet(Architecture::ResNet18, 4, 0), &deep).unwrap_err();
        assert!(error.to_string().contains("the model has no layer1.2"), "{error}");
    }

    #[test]
    fn damaged_files_are_errors() {
        let dict = state_dict(&resnet(Architecture::ResNet18, 2, 0)).unwrap();
        let bytes = to_safetensors(&dict, "{}").unwrap();
        for len in [0, 4, 8, 100, bytes.len() / 2, bytes.len() - 1] {
            assert!(contents(&bytes[..len]).is_err(), "{len} bytes were accepted");
        }
        let mut huge = bytes.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(contents(&huge).is_err());
    }
}
