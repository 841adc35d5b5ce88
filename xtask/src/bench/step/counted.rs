//! `bench step --count` and `--profile`: the counted step, and its output.

use selfsame_models::Architecture;
use serde::Serialize;

use super::{StepArgs, Training, count, least, method, stem};
use selfsame::settings::Method as Name;
use selfsame::settings::Precision;
use selfsame::workshop;
use selfsame::workshop::usage;

/// The JSON output of `--count` and `--profile`.
#[derive(Serialize)]
struct Counted<'a> {
    method: Option<Name>,
    architecture: Architecture,
    width: usize,
    batch: usize,
    size: usize,
    device: &'a str,
    precision: Precision,
    #[serde(flatten)]
    count: count::Count,
}

pub fn count_launches(args: &StepArgs) -> anyhow::Result<()> {
    if !workshop::is_gpu(&args.device) {
        return Err(usage(
            "--count and --profile need a GPU: --device cuda or wgpu, if the build has them",
        ));
    }
    selfsame::workshop::gpu::also_hear_operations();
    let count = match args.method {
        Some(method) => method::count(args, method)?,
        None => selfsame_kernels::autocast(args.precision.into(), || {
            let device = workshop::parse(&args.device)?.autodiff();
            let mut training = Training::new(args, &device)?;
            let mut counter = count::Counter::new(&device, args.profile);
            for _ in 0..count::STEPS {
                counter.before_step();
                training = training.step(&device)?;
            }
            counter.before_step();
            anyhow::Ok(counter.count(Some(least::least_bytes(&least::Work {
                architecture: args.architecture,
                stem: stem(args),
                width: args.width,
                batch: args.batch,
                size: args.size,
                activation: match args.precision {
                    Precision::F32 => 4,
                    Precision::Bf16 => 2,
                },
            }))))
        })?,
    };
    let &StepArgs { method, architecture, width, batch, size, precision, .. } = args;
    let device = args.device.as_str();
    if args.json {
        let counted =
            Counted { method, architecture, width, batch, size, device, precision, count };
        println!("{}", serde_json::to_string(&counted)?);
    } else {
        let what = method.map_or(String::new(), |method| format!("{} with ", method.title()));
        println!(
            "{what}{architecture:?}, width {width}, {size} px, batch {batch}, {device} {precision:?}"
        );
        count::print(&count);
    }
    Ok(())
}
