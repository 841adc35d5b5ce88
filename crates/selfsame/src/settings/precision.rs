//! What convolutions and linear layers multiply.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What convolutions and linear layers multiply, as the settings name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// Products of bfloat16, with sums and weights in f32.
    Bf16,
}

impl From<Precision> for selfsame_kernels::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

impl FromStr for Precision {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            _ => Err("f32 or bf16"),
        }
    }
}
