//! The methods: their names and their settings. All of it is made from the list in
//! `selfsame_trainers`.

use selfsame_eval::Trained;
use selfsame_trainers::{Ablation, MethodSettings, SmallRun, Term, TrainError};
use serde::{Deserialize, Serialize};

use crate::names;

macro_rules! define {
    ($($method:ident, $settings:ty, $name:literal, $section:literal;)+) => {
        /// A method by name.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        pub enum Method {
            $(#[serde(rename = $name)] $method,)+
        }

        impl Method {
            /// Every method, in the order of lists.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$method),+];

            /// The name in commands: `barlow-twins`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$method => $name,)+
                }
            }

            /// The section of its settings: `barlow_twins`.
            pub fn section(self) -> &'static str {
                match self {
                    $(Self::$method => $section,)+
                }
            }

            /// The name in texts.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$method => <$settings>::TITLE,)+
                }
            }

            /// The prefix of the encoder's weights among those of the method.
            pub fn encoder_prefix(self) -> &'static str {
                match self {
                    $(Self::$method => <$settings>::ENCODER,)+
                }
            }

            /// The parts of the loss that have a chart.
            pub(crate) fn terms(self) -> &'static [Term] {
                match self {
                    $(Self::$method => <$settings>::TERMS,)+
                }
            }

            /// Name and meaning of each setting in its section.
            pub(crate) fn meanings(self) -> &'static [(&'static str, &'static str)] {
                match self {
                    $(Self::$method => <$settings>::meanings(),)+
                }
            }

            /// A run of a few minutes on two cores.
            pub(crate) fn small_run(self) -> SmallRun<MethodConfig> {
                match self {
                    $(Self::$method => of_any(<$settings>::small_run(), MethodConfig::$method),)+
                }
            }
        }

        /// The settings of one method. The section in a settings file has the method's name.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum MethodConfig {
            $(#[serde(rename = $section)] $method($settings),)+
        }

        impl MethodConfig {
            /// The method.
            pub fn method(&self) -> Method {
                match self {
                    $(Self::$method(_) => Method::$method,)+
                }
            }

            /// Checks the settings without building anything.
            ///
            /// # Errors
            /// A setting is out of its range.
            pub fn validate(&self) -> Result<(), TrainError> {
                match self {
                    $(Self::$method(own) => own.validate(),)+
                }
            }

            /// The method without one of its parts, one at a time.
            pub(crate) fn ablations(&self) -> Vec<Ablation> {
                match self {
                    $(Self::$method(own) => own.ablations(),)+
                }
            }

            /// τ of the momentum target at the first step, if there is one.
            pub(crate) fn tau(&self) -> Option<f64> {
                match self {
                    $(Self::$method(own) => own.tau(),)+
                }
            }

            /// The same settings where a batch has this many images.
            pub(crate) fn for_batch(self, images: usize) -> Self {
                match self {
                    $(Self::$method(own) => Self::$method(own.for_batch(images)),)+
                }
            }
        }
    };
}

selfsame_trainers::methods!(define);

impl Method {
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

    /// The kind of method, for the collapse doctor's advice. None for a method it does not know.
    pub fn trained(self) -> Option<Trained> {
        Trained::named(self.name())
    }
}

fn of_any<S>(run: SmallRun<S>, any: impl FnOnce(S) -> MethodConfig) -> SmallRun<MethodConfig> {
    let SmallRun { settings, epochs, batch_size, learning_rate, weight_decay } = run;
    SmallRun { settings: any(settings), epochs, batch_size, learning_rate, weight_decay }
}
