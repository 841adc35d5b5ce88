use super::{Kind, Trained};

/// What to do, in the names of this project's settings where the method is known.
pub(super) fn of(kind: Kind, trained: Option<Trained>) -> Option<String> {
    use Trained::{BarlowTwins, Byol, Contrastive, Decorrelation, SelfDistillation};
    let text = match (kind, trained) {
        (Kind::CompleteCollapse, Some(Byol)) => {
            "keep the predictor (byol.predictor) and the stop-gradient (byol.stop_gradient), both of \
             which BYOL needs; bring byol.tau_base nearer to 1 (0.99 to 0.996); halve \
             optimizer.learning_rate or lengthen train.warmup_epochs; keep batch norm in the heads; check \
             that optimizer.weight_decay is not so strong that the weights fade"
        }
        (Kind::CompleteCollapse, Some(BarlowTwins)) => {
            "its loss cannot be low on one point, so look at optimisation first: halve \
             optimizer.learning_rate, lengthen train.warmup_epochs, lower optimizer.weight_decay; \
             raise train.batch_size if it is below 32, since the loss is a statistic of the batch"
        }
        (Kind::CompleteCollapse, Some(Contrastive)) => {
            "negatives keep embeddings apart, so look at optimisation first: halve optimizer.learning_rate, \
             lengthen train.warmup_epochs, and raise the temperature if it is below 0.1; raise \
             train.batch_size, since the other images of a batch are the negatives"
        }
        (Kind::CompleteCollapse, Some(SelfDistillation)) => {
            "SimSiam needs its predictor and its stop-gradient, DINO a teacher that is centred \
             (dino.center_momentum below 1) and sharper than the student (dino.teacher_temperature below \
             dino.student_temperature); then halve optimizer.learning_rate and lengthen train.warmup_epochs"
        }
        (Kind::CompleteCollapse, Some(Decorrelation)) => {
            "its loss cannot be low on one point, so look at optimisation first: halve \
             optimizer.learning_rate, lengthen train.warmup_epochs, lower optimizer.weight_decay; check that \
             the term that spreads the embeddings has a weight (vicreg.variance, lejepa.lambda)"
        }
        (Kind::CompleteCollapse, None) => {
            "something must keep the embeddings apart: a stop-gradient with a predictor, a term against \
             redundancy or for variance, or negatives; then a lower learning rate"
        }
        (Kind::DimensionalCollapse { .. } | Kind::LostDirections, Some(Byol)) => {
            "train longer before judging, since BYOL starts with few directions; then lower \
             optimizer.weight_decay, give the predictor a higher learning rate or width \
             (byol.predictor_hidden), strengthen the views so that one shortcut cannot explain them, and keep \
             byol.predictor and byol.stop_gradient on"
        }
        (Kind::DimensionalCollapse { .. } | Kind::LostDirections, Some(BarlowTwins)) => {
            "raise barlow_twins.lambda (0.0051 in the paper; at 0 nothing keeps dimensions apart), raise \
             train.batch_size, and check that the last width of barlow_twins.projector is not far above the \
             batch size"
        }
        (Kind::DimensionalCollapse { .. } | Kind::LostDirections, Some(Contrastive)) => {
            "lower the temperature, raise train.batch_size, and strengthen the views so that one shortcut \
             cannot explain them; contrastive methods lose directions too where augmentation drowns them \
             (Jing et al., 2022)"
        }
        (Kind::DimensionalCollapse { .. } | Kind::LostDirections, Some(SelfDistillation)) => {
            "train longer before judging; then lower optimizer.weight_decay, strengthen the views, and give \
             the predictor (SimSiam) or the number of prototypes (DINO) more room"
        }
        (Kind::DimensionalCollapse { .. } | Kind::LostDirections, Some(Decorrelation)) => {
            "raise the weight of what spreads the dimensions (vicreg.variance and vicreg.covariance, \
             lejepa.lambda), or train.batch_size, on whose statistics it rests"
        }
        (Kind::DimensionalCollapse { .. } | Kind::LostDirections, None) => {
            "strengthen the augmentations if one shortcut explains the views, lower the weight decay, or add \
             a term against redundancy"
        }
        (Kind::NarrowProjections { .. }, Some(BarlowTwins)) => {
            "raise barlow_twins.lambda (0.0051 in the paper; at 0 nothing keeps dimensions apart) or \
             train.batch_size, if the features do not classify well either"
        }
        (Kind::NarrowProjections { .. }, _) => {
            "judge the features, which are what is used: small BYOL runs end like this and classify well; if \
             the features are narrow too, lower optimizer.weight_decay and strengthen the views"
        }
        (Kind::SmallDifferences, _) => {
            "early in training wait, since untrained networks start like this; later treat it as complete \
             collapse on its way: lower optimizer.learning_rate and watch the next epochs"
        }
        (Kind::DeadDimensions { .. }, _) => {
            "lower optimizer.learning_rate or lengthen train.warmup_epochs, which is when units die; check \
             that optimizer.weight_decay leaves batch norm's scales alone"
        }
        (Kind::Redundant, Some(BarlowTwins)) => {
            "raise barlow_twins.lambda (0.0051 in the paper) or train.batch_size; too wide a \
             barlow_twins.projector for the batch also leaves correlations"
        }
        (Kind::Redundant, Some(Decorrelation)) => {
            "raise vicreg.covariance, lejepa.lambda or train.batch_size; too wide a projector for the batch \
             also leaves correlations"
        }
        (Kind::Redundant, _) => {
            "no harm by itself, since the loss does not ask for uncorrelated dimensions; with a low number of \
             directions follow the advice on dimensional collapse"
        }
        (Kind::ViewsDisagree, _) => {
            "train longer; if it stays, the views have too little in common: larger crops \
             (views.crop_scale) or weaker jitter; check that both views come from the same image"
        }
        (Kind::NarrowPredictor, _) => {
            "lower optimizer.weight_decay on the predictor, raise its learning rate or \
             byol.predictor_hidden"
        }
        (Kind::TargetEqualsOnline, _) => {
            "raise byol.tau_base (0.99 to 0.996): at 0 the target is a copy, and only predictor and \
             stop-gradient stand against collapse; at the very end of the schedule, with a learning rate of \
             0, this is as it should be"
        }
        (Kind::TargetLeftBehind, _) => {
            "lower byol.tau_base, which makes the target too slow for a run of this length, and never set it \
             to 1, with which it keeps its random weights"
        }
        (Kind::NothingLearnt, _) => {
            "train longer, and strengthen the augmentations where a shortcut such as brightness \
             (views.brightness, views.contrast) explains the views; then try optimizer.learning_rate"
        }
        (Kind::TooFewImages { .. }, _) => "measure on more images: 256 or more",
    };
    Some(text.into())
}
