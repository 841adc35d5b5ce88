use burn::tensor::Device;
use selfsame_tests::fidelity::Item;
use selfsame_tests::objectives::{OBJECTIVES, Shape, compare};

/// f32 holds a batch of this case to two digits fewer: all values lie within a hundredth of their
/// mean.
fn nearly_collapsed(&(_, _, scale, offset, _): &Shape) -> bool {
    scale <= 0.01 * offset
}

fn well_spread(shape: &Shape) -> bool {
    !nearly_collapsed(shape)
}

/// Every case that `keep` lets through of the objectives whose names begin with `start`.
fn compare_all(start: &str, keep: fn(&Shape) -> bool, mut loss: Item, mut gradient: Item) {
    let device = Device::flex().autodiff();
    for objective in OBJECTIVES.iter().filter(|o| o.name.starts_with(start)) {
        compare(objective, &device, &mut loss, &mut gradient, |shape| !keep(shape));
    }
    loss.finish();
    gradient.finish();
}

#[test]
fn nt_xent() {
    let source = "lightly `NTXentLoss`";
    compare_all(
        "nt-xent",
        well_spread,
        Item::new("NT-Xent loss", source, 1e-5).note("at τ = 0.5 and 0.05"),
        Item::new("NT-Xent gradients", source, 1e-5).note("at τ = 0.5 and 0.05"),
    );
}

#[test]
fn moco_v3() {
    let source = "PyTorch `cross_entropy`, from the paper's algorithm 1";
    compare_all(
        "moco-v3",
        well_spread,
        Item::new("MoCo v3 loss", source, 1e-5).note("at τ = 1 and 0.05"),
        Item::new("MoCo v3 gradient", source, 1e-5).note("at τ = 1 and 0.05"),
    );
}

#[test]
fn simsiam() {
    let source = "lightly `NegativeCosineSimilarity`";
    compare_all(
        "simsiam",
        well_spread,
        Item::new("SimSiam loss", source, 1e-5),
        Item::new("SimSiam gradient", source, 1e-5),
    );
}

#[test]
fn dino() {
    let source = "lightly `DINOLoss`";
    compare_all(
        "dino",
        well_spread,
        Item::new("DINO loss", source, 1e-5),
        Item::new("DINO gradient", source, 1e-5),
    );
}

#[test]
fn losses_of_cosines_and_logits_nearly_collapsed() {
    let source = "lightly; PyTorch from the papers' equations";
    let note = "values within a hundredth of their mean: f32 has lost two of its seven digits before any formula \
                sees them";
    for (start, names) in [
        ("nt-xent", ["NT-Xent loss, nearly collapsed", "NT-Xent gradients, nearly collapsed"]),
        ("moco-v3", ["MoCo v3 loss, nearly collapsed", "MoCo v3 gradient, nearly collapsed"]),
        ("simsiam", ["SimSiam loss, nearly collapsed", "SimSiam gradient, nearly collapsed"]),
        ("dino", ["DINO loss, nearly collapsed", "DINO gradient, nearly collapsed"]),
    ] {
        let [loss, gradient] = names.map(|name| Item::new(name, source, 1e-4).note(note));
        compare_all(start, nearly_collapsed, loss, gradient);
    }
}

#[test]
fn vicreg() {
    let source = "lightly `VICRegLoss`";
    compare_all(
        "vicreg",
        |_| true,
        Item::new("VICReg loss", source, 1e-5),
        Item::new("VICReg gradients", source, 1e-5),
    );
}

#[test]
fn w_mse() {
    let source = "PyTorch `cholesky`, from the paper's eq. 3–6";
    let note = "what whitening evens out, up to 600 between the largest and the smallest variance here, multiplies \
                rounding";
    compare_all(
        "w-mse",
        well_spread,
        Item::new("W-MSE loss", source, 1e-5),
        Item::new("W-MSE gradients", source, 1e-4).note(note),
    );
    let note =
        "the views' means lie 50 deviations apart in every dimension: a condition number of 6e4";
    compare_all(
        "w-mse",
        nearly_collapsed,
        Item::new("W-MSE loss, nearly collapsed", source, 1e-4).note(note),
        Item::new("W-MSE gradients, nearly collapsed", source, 1e-2).note(note),
    );
}

#[test]
fn le_jepa() {
    let source = "PyTorch, from the paper's definition (agrees with lightly `SIGReg`)";
    compare_all(
        "epps-pulley",
        |_| true,
        Item::new("SIGReg's statistic", source, 1e-5),
        Item::new("gradient of SIGReg's statistic", source, 1e-5),
    );
    let note = "of one dimension, where all random directions are ±1";
    compare_all(
        "le-jepa",
        |_| true,
        Item::new("LeJEPA loss", source, 1e-5).note(note),
        Item::new("LeJEPA gradients", source, 1e-5).note(note),
    );
}
