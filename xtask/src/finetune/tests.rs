use selfsame_data::{Labels, ShapesDataset, Subset};
use selfsame_models::weights::state_dict;

use super::*;
use crate::config::{Method, Overrides};

fn config(set: &[&str]) -> RunConfig {
    let set = set.iter().map(|s| (*s).to_owned()).collect();
    Overrides { set, ..Overrides::default() }.resolve(Method::Byol).unwrap()
}

/// The sweep of the decision note; see there.
#[test]
#[ignore]
fn sweep() {
    let run = std::env::var("SWEEP_RUN").unwrap();
    let budgets = std::env::var("SWEEP_BUDGETS").unwrap();
    let starts = std::env::var("SWEEP_STARTS").unwrap();
    let variants = std::env::var("SWEEP_VARIANTS").unwrap();
    let seeds: u64 = std::env::var("SWEEP_SEEDS").unwrap().parse().unwrap();
    let mut config = crate::eval::run_config(std::path::Path::new(&run)).unwrap();
    let device = crate::device::parse(&config.device).unwrap();
    let encoder =
        crate::weights::load_encoder(std::path::Path::new(&run), &config, None, &device).unwrap();
    let data = crate::data::open(&mut config).unwrap();
    for budget in budgets.split(',') {
        let labels = match budget.strip_suffix('%') {
            Some(p) => Labels::Share(p.parse::<f64>().unwrap() / 100.0),
            None => Labels::PerClass(budget.parse().unwrap()),
        };
        for variant in variants.split(';') {
            let mut settings = serde_json::to_value(FinetuneSettings::default()).unwrap();
            for pair in variant.split(',').filter(|p| !p.is_empty()) {
                let (key, value) = pair.split_once('=').unwrap();
                settings[key] = serde_json::from_str(value).unwrap();
            }
            let f = |k: &str| settings[k].as_f64().unwrap();
            let settings = FinetuneSettings {
                epochs: f("epochs") as u64,
                min_steps: f("min_steps") as u64,
                batch_size: f("batch_size") as usize,
                learning_rate: f("learning_rate"),
                encoder_rate: f("encoder_rate"),
                weight_decay: f("weight_decay"),
                warmup: f("warmup"),
                label_smoothing: f("label_smoothing") as f32,
            };
            for start in starts.split(',') {
                let mut tops = Vec::new();
                let mut seconds = 0.0;
                let mut last = 0.0;
                let mut epochs = 0;
                for seed in 0..seeds {
                    let train =
                        Arc::new(Subset::labelled(data.train.clone(), labels, seed).unwrap());
                    let finetune = Finetune {
                        config: &config,
                        train,
                        test: data.test.clone().unwrap(),
                        settings: settings.clone(),
                        device: &device,
                    };
                    let start = match start {
                        "scratch" => Start::Scratch,
                        _ => Start::Pretrained(&encoder),
                    };
                    match finetune.run(start, seed, &mut |r| {
                        last = r.loss;
                        Flow::Continue
                    }) {
                        Ok(result) => {
                            tops.push((result.top1 * 10000.0).round() / 10000.0);
                            seconds += result.train_seconds;
                            epochs = result.epochs;
                        }
                        Err(error) => eprintln!("{error}"),
                    }
                }
                let mean = tops.iter().sum::<f64>() / tops.len() as f64;
                eprintln!(
                    "{budget:>5} {start:10} {variant:40} {mean:.4} {tops:?} epochs {epochs} loss {last:.3} {:.1} s",
                    seconds / seeds as f64
                );
            }
        }
    }
}
