//! The figures of steps, on their way from the device.
//!
//! A GPU works behind the program: the program queues operations in advance. A read waits until the
//! queue is empty. Then the GPU is idle until it gets new work. So fewer reads are better.

use burn::tensor::Tensor;

use crate::{StepReport, TrainError};

/// The figures of one step, `[1]` each. Every micro-batch has a loss, the spread of its embedding,
/// and its terms.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    scalars: Vec<Tensor<1>>,
    terms: Vec<&'static str>,
}

impl Figures {
    /// Adds a micro-batch. Its loss and terms are already divided by the number of micro-batches.
    pub fn add(
        &mut self,
        loss: Tensor<1>,
        embedding_std: Tensor<1>,
        terms: Vec<(&'static str, Tensor<1>)>,
    ) {
        self.scalars.extend([loss, embedding_std]);
        self.terms.clear();
        for (name, term) in terms {
            self.terms.push(name);
            self.scalars.push(term);
        }
    }

    /// Reads them now.
    ///
    /// # Errors
    /// A loss is not finite.
    pub fn read(self, report: &mut StepReport) -> Result<(), TrainError> {
        fill(report, &read(self.scalars), &self.terms)
    }
}

/// A step with its figures still on the device. Its update did not wait for them.
#[derive(Debug)]
pub(crate) struct Unread {
    report: StepReport,
    terms: Vec<&'static str>,
    /// The parameters with a gradient.
    parameters: Vec<String>,
    /// Figures, then a value of each gradient.
    values: Tensor<1>,
}

impl Unread {
    /// `gradients`: a value for each parameter, `[n]`. It is finite if the gradient is finite.
    pub fn new(
        report: StepReport,
        figures: Figures,
        (parameters, gradients): (Vec<String>, Tensor<1>),
    ) -> Self {
        let Figures { mut scalars, terms } = figures;
        scalars.extend((!parameters.is_empty()).then_some(gradients));
        Self { report, terms, parameters, values: Tensor::cat(scalars, 0) }
    }

    /// Reads several steps at once, in order. Returns their reports up to the first loss or
    /// gradient that is not finite, and this error.
    pub fn read_all(steps: Vec<Self>) -> (Vec<StepReport>, Result<(), TrainError>) {
        let mut reports = Vec::new();
        if steps.is_empty() {
            return (reports, Ok(()));
        }
        let values = read(steps.iter().map(|step| step.values.clone()).collect());
        let mut rest = &values[..];
        for step in steps {
            let (values, later) = rest.split_at(step.values.dims()[0]);
            rest = later;
            match step.report(values) {
                Ok(report) => reports.push(report),
                Err(error) => return (reports, Err(error)),
            }
        }
        (reports, Ok(()))
    }

    fn report(self, values: &[f32]) -> Result<StepReport, TrainError> {
        let Self { mut report, terms, parameters, .. } = self;
        let (figures, gradients) = values.split_at(values.len() - parameters.len());
        fill(&mut report, figures, &terms)?;
        match parameters.into_iter().zip(gradients).find(|(_, value)| !value.is_finite()) {
            Some((parameter, value)) => {
                let (step, loss, value) = (report.step - 1, report.loss, *value);
                Err(TrainError::GradientNotFinite { step, parameter, value, loss })
            }
            None => Ok(report),
        }
    }
}

/// Means over the micro-batches. The spread is that of the last micro-batch.
fn fill(report: &mut StepReport, values: &[f32], terms: &[&'static str]) -> Result<(), TrainError> {
    let micro_batches = values.chunks(2 + terms.len());
    let count = micro_batches.len() as f32;
    report.terms = terms.iter().map(|name| (*name, 0.0)).collect();
    for micro_batch in micro_batches {
        let [loss, embedding_std, terms @ ..] = micro_batch else { continue };
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { step: report.step - 1, loss: loss * count });
        }
        report.loss += loss;
        report.embedding_std = *embedding_std;
        report.terms.iter_mut().zip(terms).for_each(|((_, sum), term)| *sum += term);
    }
    Ok(())
}

/// The values of tensors in one transfer.
fn read(tensors: Vec<Tensor<1>>) -> Vec<f32> {
    Tensor::cat(tensors, 0).into_data().iter::<f32>().collect()
}
