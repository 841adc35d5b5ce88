//! Writes the event files of an imagined run that crashed and continued:
//! `cargo run --release -p selfsame-report --example events -- LOGDIR`, then
//! `tensorboard --logdir LOGDIR`.
//!
//! The first part has 200 steps and ends in a torn record. The second continues at step 150 and
//! crosses step 200. So TensorBoard must hide steps 150 to 199 of the first.

use std::error::Error;
use std::f32::consts::PI;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use selfsame_report::{At, EventWriter, code_block};

/// Seconds since 1970 at which the imagined run begins; a step takes half a second.
const BEGIN: f64 = 1_700_000_000.0;
const PNG: &[u8] = include_bytes!("../tests/tensorboard/image.png");

fn main() -> Result<(), Box<dyn Error>> {
    let logdir = std::env::args().nth(1).ok_or("which folder?")?;
    let dir = Path::new(&logdir).join("byol");

    let mut events = EventWriter::append(&dir, at(0))?;
    let config = "[train]\nepochs = 20\nbatch_size = 128";
    events.text("config", at(0), &code_block("toml", config))?;
    log(&mut events, 0..200, 100.0)?;
    OpenOptions::new().append(true).open(events.path())?.write_all(&[40, 0, 0, 0])?;

    let mut events = EventWriter::append(&dir, at(150))?;
    log(&mut events, 150..300, 0.0)?;
    Ok(events.flush()?)
}

fn at(step: u64) -> At {
    At { step, wall_time: BEGIN + step as f64 / 2.0 }
}

/// Logs `steps`. `wrong` is added to values that the second part must replace.
fn log(
    events: &mut EventWriter,
    steps: std::ops::Range<u64>,
    wrong: f32,
) -> Result<(), Box<dyn Error>> {
    for step in steps {
        let wrong = if step >= 150 { wrong } else { 0.0 };
        let progress = step as f32 / 300.0;
        events.scalar("train/loss", at(step), (-4.0 * progress).exp() + wrong)?;
        events.scalar("train/learning_rate", at(step), 0.5 + 0.5 * (PI * progress).cos())?;
        let gradient = if step == 42 { f32::NAN } else { 1.0 / (1.0 + step as f32) };
        events.scalar("train/gradient_norm", at(step), gradient)?;
        if step % 50 == 0 {
            let spread = 1.0 + progress;
            let values: Vec<f32> = (0..1000).map(|i| spread * (i as f32 * 0.7).sin()).collect();
            events.histogram("embedding", at(step), &values)?;
            events.image_png("views", at(step), PNG)?;
        }
    }
    Ok(())
}
