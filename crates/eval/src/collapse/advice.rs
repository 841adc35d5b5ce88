//! What to do about a finding. If the method is known, the advice names this project's settings.

use super::{Finding, Kind, Level, Trained};

/// One thing to do.
pub(super) struct Action {
    /// What the action changes. Two actions on one lever are the same, or contradict each other.
    lever: &'static str,
    /// In the imperative: a direction and a setting.
    pub text: String,
}

const STRONGER_VIEWS: &str = "stronger views";

/// Gives findings their advice, worst first. Advice is not repeated. Advice that contradicts
/// earlier advice is left out, because the worse finding must be cured first.
pub(super) fn advise(findings: &mut [Finding], trained: Option<Trained>) {
    let disagree = |f: &Finding| f.kind == Some(Kind::ViewsDisagree) && f.level > Level::Unknown;
    // Views with little in common must not be strengthened, however bad the rest is.
    let mut taken: Vec<&'static str> = match findings.iter().any(disagree) {
        true => vec![STRONGER_VIEWS],
        false => Vec::new(),
    };
    let collapsed = findings.iter().any(|f| f.level == Level::Collapsed);
    for finding in findings {
        let own = match (finding.kind, finding.level) {
            (_, Level::Healthy) | (None, _) => continue,
            // It follows from the collapse, and longer training would not help.
            (Some(Kind::WorseThanUntrained | Kind::NothingLearnt), _) if collapsed => continue,
            // These findings may disappear by themselves.
            (Some(kind), Level::Unknown) if !kind.is_of_what_cannot_be_told() => continue,
            (Some(kind), _) => of(kind, trained),
        };
        let mut texts = Vec::new();
        for action in own {
            if !taken.contains(&action.lever) {
                taken.push(action.lever);
                texts.push(action.text);
            }
        }
        finding.advice = Some(texts.join("; ")).filter(|text| !text.is_empty());
    }
}

/// What to do about one finding by itself, best first.
pub(super) fn of(kind: Kind, trained: Option<Trained>) -> Vec<Action> {
    match kind {
        Kind::CompleteCollapse => complete(trained),
        Kind::DimensionalCollapse { .. } | Kind::LostDirections => directions(trained),
        Kind::WorseThanUntrained => vec![longer(), stronger_views(), slower()],
        Kind::NothingLearnt => vec![longer(), stronger_views()],
        Kind::TradedDirections => vec![action(
            "weight decay",
            "no harm while accuracy rises; if it falls, lower optimizer.weight_decay",
        )],
        Kind::NarrowProjections { .. } => directions(trained),
        Kind::SmallDifferences => vec![slower(), warmer()],
        Kind::DeadDimensions { .. } => vec![
            slower(),
            warmer(),
            action("decay of norms", "set optimizer.exclude_bias_and_norm to true"),
        ],
        Kind::Redundant => redundancy(trained),
        Kind::ViewsDisagree => vec![longer(), weaker_views()],
        Kind::NarrowPredictor => {
            let mut actions = vec![less_decay()];
            actions.extend(wider_predictor(trained));
            actions
        }
        Kind::TargetEqualsOnline => {
            let text = match trained {
                Some(trained) => {
                    format!("raise {}.tau_base (0.99 to 0.996)", trained.section())
                }
                None => "raise the momentum of the target (0.99 to 0.996)".into(),
            };
            vec![action("momentum", text)]
        }
        Kind::TargetLeftBehind => {
            let text = match trained {
                Some(trained) => format!(
                    "lower {}.tau_base: a target with τ needs 1 / (1 − τ) steps to follow",
                    trained.section()
                ),
                None => "lower the momentum of the target".into(),
            };
            vec![action("momentum", text), longer()]
        }
        Kind::TooEarly { .. } => vec![action(
            "steps",
            "take more steps: raise train.epochs, or train.stop_after where it is set",
        )],
        Kind::TooFewImages { .. } => vec![action(
            "images",
            "judge on more images: raise data.test_limit and doctor.images where they are set, or data.validation",
        )],
        Kind::TooFewTestImages { .. } => vec![action(
            "images",
            "judge on more test images: raise data.test_limit where it is set, or data.validation",
        )],
    }
}

impl Kind {
    /// Whether it reports too little data or training.
    pub(super) fn is_of_what_cannot_be_told(self) -> bool {
        matches!(
            self,
            Self::TooEarly { .. } | Self::TooFewImages { .. } | Self::TooFewTestImages { .. }
        )
    }
}

fn complete(trained: Option<Trained>) -> Vec<Action> {
    use Trained::{BarlowTwins, Byol, Dino, LeJepa, MocoV3, SimClr, SimSiam, VicReg, WMse};
    let mut actions = match trained {
        Some(Byol) => vec![
            action("predictor", "set byol.predictor and byol.stop_gradient to true"),
            action("norm", "set byol.head_norm to true"),
            action("momentum", "raise byol.tau_base (0.99 to 0.996)"),
        ],
        Some(SimSiam) => {
            vec![action("predictor", "set simsiam.predictor and simsiam.stop_gradient to true")]
        }
        Some(Dino) => vec![
            action("centre", "lower dino.center_momentum (0.9)"),
            action("temperature", "lower dino.teacher_temperature (0.04)"),
        ],
        Some(BarlowTwins) => vec![action("standardise", "set barlow_twins.standardize to true")],
        Some(SimClr | MocoV3) => {
            let section = trained.map_or("", Trained::section);
            vec![action("temperature", format!("raise {section}.temperature")), larger_batch()]
        }
        Some(VicReg) => vec![action("spread", "raise vicreg.variance")],
        Some(LeJepa) => vec![action("spread", "raise lejepa.lambda")],
        Some(WMse) => vec![action("sub-batch", "raise w_mse.sub_batch")],
        None => vec![action(
            "spread",
            "let something keep embeddings apart: a predictor with a stop-gradient, negatives, or a \
             term for variance",
        )],
    };
    actions.extend([slower(), warmer()]);
    actions
}

fn directions(trained: Option<Trained>) -> Vec<Action> {
    use Trained::{BarlowTwins, Byol, Dino, LeJepa, MocoV3, SimClr, SimSiam, VicReg, WMse};
    match trained {
        Some(Byol | SimSiam) => {
            let mut actions = vec![less_decay(), stronger_views()];
            actions.extend(wider_predictor(trained));
            actions
        }
        Some(Dino) => {
            vec![less_decay(), stronger_views(), action("prototypes", "raise dino.prototypes")]
        }
        Some(SimClr | MocoV3) => {
            let section = trained.map_or("", Trained::section);
            vec![
                action("temperature", format!("lower {section}.temperature")),
                larger_batch(),
                stronger_views(),
            ]
        }
        Some(BarlowTwins | VicReg | WMse | LeJepa) => redundancy(trained),
        None => vec![
            less_decay(),
            stronger_views(),
            action("decorrelation", "add a term against redundancy"),
        ],
    }
}

fn redundancy(trained: Option<Trained>) -> Vec<Action> {
    let own = match trained {
        Some(Trained::BarlowTwins) => {
            action("decorrelation", "raise barlow_twins.lambda (0.0051 in the paper)")
        }
        Some(Trained::VicReg) => action("decorrelation", "raise vicreg.covariance"),
        Some(Trained::LeJepa) => action("spread", "raise lejepa.lambda"),
        Some(Trained::WMse) => action("sub-batch", "raise w_mse.sub_batch"),
        _ => action("decorrelation", "raise the weight of what keeps dimensions apart"),
    };
    vec![own, larger_batch()]
}

fn wider_predictor(trained: Option<Trained>) -> Option<Action> {
    use Trained::{Byol, MocoV3, SimSiam};
    let trained = trained.filter(|trained| matches!(trained, Byol | MocoV3 | SimSiam))?;
    Some(action("width of the predictor", format!("raise {}.predictor_hidden", trained.section())))
}

fn longer() -> Action {
    action("steps", "train longer: raise train.epochs")
}

fn slower() -> Action {
    action("learning rate", "lower optimizer.learning_rate")
}

fn warmer() -> Action {
    action("warm-up", "raise train.warmup_epochs")
}

fn less_decay() -> Action {
    action("weight decay", "lower optimizer.weight_decay")
}

fn larger_batch() -> Action {
    action("batch", "raise train.batch_size")
}

/// For a shortcut, such as lightness, that explains the views.
fn stronger_views() -> Action {
    action(STRONGER_VIEWS, "strengthen the views: raise views.brightness and views.contrast")
}

fn weaker_views() -> Action {
    action("weaker views", "weaken the views: raise the smaller number of views.crop_scale")
}

fn action(lever: &'static str, text: impl Into<String>) -> Action {
    Action { lever, text: text.into() }
}
