//! Pretrains BYOL on the folder of images that the first argument names, or on `fashion-mini`.

use selfsame::{Event, Run, Start};

fn main() -> Result<(), selfsame::Error> {
    let mut run = Run::byol().out("runs/pretrain-example").existing(Start::Replace);
    if let Some(folder) = std::env::args_os().nth(1) {
        run = run.images(folder);
    }
    if let Ok(epochs) = std::env::var("EPOCHS") {
        run = run.set("train.epochs", epochs);
    }
    let finished = run
        .observer(|event: &Event<'_>| match event {
            Event::Note(line) => println!("{line}"),
            Event::Evaluated(found) => println!("epoch {}: {:?}", found.epoch, found.knn_top1),
            _ => {}
        })
        .start()?;

    let summary = finished.summary();
    println!("k-NN: {:?}, untrained {:?}", summary.knn_top1, summary.knn_top1_random_init);
    println!("doctor: {}", summary.diagnosis.headline);
    println!("report: {}", finished.report().display());
    Ok(())
}
