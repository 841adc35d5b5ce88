//! The methods: their names and their settings.

use selfsame_eval::Trained;
use selfsame_trainers::{
    BarlowTwinsConfig, ByolConfig, DinoConfig, LeJepaConfig, MocoV3Config, SimClrConfig,
    SimSiamConfig, TrainError, VicRegConfig, WMseConfig,
};
use serde::{Deserialize, Serialize};

use crate::names;

/// A method by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    Byol,
    BarlowTwins,
    #[serde(rename = "simclr")]
    SimClr,
    MocoV3,
    #[serde(rename = "simsiam")]
    SimSiam,
    #[serde(rename = "vicreg")]
    VicReg,
    WMse,
    Dino,
    #[serde(rename = "lejepa")]
    LeJepa,
}

impl Method {
    pub const ALL: [Self; 9] = [
        Self::Byol,
        Self::BarlowTwins,
        Self::SimClr,
        Self::MocoV3,
        Self::SimSiam,
        Self::VicReg,
        Self::WMse,
        Self::Dino,
        Self::LeJepa,
    ];

    /// A method by its name, in any spelling: `Barlow_Twins`, too.
    ///
    /// # Errors
    /// The name is unknown. The error lists all names.
    pub fn parse(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name);
        let meant = names::meant(text, names);
        let found = Self::ALL.into_iter().find(|method| Some(method.name()) == meant);
        found.ok_or_else(|| {
            format!("{}the methods are {}", names::did_you_mean(text, names), names.join(", "))
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Byol => "byol",
            Self::BarlowTwins => "barlow-twins",
            Self::SimClr => "simclr",
            Self::MocoV3 => "moco-v3",
            Self::SimSiam => "simsiam",
            Self::VicReg => "vicreg",
            Self::WMse => "w-mse",
            Self::Dino => "dino",
            Self::LeJepa => "lejepa",
        }
    }

    /// The section of its settings.
    pub fn section(self) -> String {
        self.name().replace('-', "_")
    }

    /// The name in texts.
    pub fn title(self) -> &'static str {
        match self {
            Self::Byol => "BYOL",
            Self::BarlowTwins => "Barlow Twins",
            Self::SimClr => "SimCLR",
            Self::MocoV3 => "MoCo v3",
            Self::SimSiam => "SimSiam",
            Self::VicReg => "VICReg",
            Self::WMse => "W-MSE",
            Self::Dino => "DINO",
            Self::LeJepa => "LeJEPA",
        }
    }

    /// The prefix of the encoder's weights among those of the method.
    pub fn encoder_prefix(self) -> &'static str {
        match self {
            Self::Byol | Self::MocoV3 => "online.encoder.",
            Self::Dino => "student.encoder.",
            _ => "encoder.",
        }
    }

    /// The kind of method, for the collapse doctor's advice.
    pub fn trained(self) -> Trained {
        match self {
            Self::Byol => Trained::Byol,
            Self::BarlowTwins => Trained::BarlowTwins,
            Self::SimClr => Trained::SimClr,
            Self::MocoV3 => Trained::MocoV3,
            Self::SimSiam => Trained::SimSiam,
            Self::VicReg => Trained::VicReg,
            Self::WMse => Trained::WMse,
            Self::Dino => Trained::Dino,
            Self::LeJepa => Trained::LeJepa,
        }
    }
}

/// The settings of one method. The section in a settings file has the method's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodConfig {
    Byol(ByolConfig),
    BarlowTwins(BarlowTwinsConfig),
    #[serde(rename = "simclr")]
    SimClr(SimClrConfig),
    MocoV3(MocoV3Config),
    #[serde(rename = "simsiam")]
    SimSiam(SimSiamConfig),
    #[serde(rename = "vicreg")]
    VicReg(VicRegConfig),
    WMse(WMseConfig),
    Dino(DinoConfig),
    #[serde(rename = "lejepa")]
    LeJepa(LeJepaConfig),
}

impl MethodConfig {
    pub fn method(&self) -> Method {
        match self {
            Self::Byol(_) => Method::Byol,
            Self::BarlowTwins(_) => Method::BarlowTwins,
            Self::SimClr(_) => Method::SimClr,
            Self::MocoV3(_) => Method::MocoV3,
            Self::SimSiam(_) => Method::SimSiam,
            Self::VicReg(_) => Method::VicReg,
            Self::WMse(_) => Method::WMse,
            Self::Dino(_) => Method::Dino,
            Self::LeJepa(_) => Method::LeJepa,
        }
    }

    /// Checks the settings without building anything.
    pub fn validate(&self) -> Result<(), TrainError> {
        match self {
            Self::Byol(config) => config.validate(),
            Self::BarlowTwins(config) => config.validate(),
            Self::SimClr(config) => config.validate(),
            Self::MocoV3(config) => config.validate(),
            Self::SimSiam(config) => config.validate(),
            Self::VicReg(config) => config.validate(),
            Self::WMse(config) => config.validate(),
            Self::Dino(config) => config.validate(),
            Self::LeJepa(config) => config.validate(),
        }
    }
}
