//! The figures of steps on their way from the device.
//!
//! A GPU computes behind the program, which hands it the next operations meanwhile. To read a value
//! is to wait until it has caught up, and then it has nothing to do until it is handed something:
//! the fewer reads, the better.

use burn::tensor::Tensor;

use crate::{StepReport, TrainError};

/// The figures of one step, `[1]` each: for every micro-batch its loss, the spread of its embedding
/// and its terms.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    scalars: Vec<Tensor<1>>,
    terms: Vec<&'static str>,
}

impl Figures {
    /// Takes in a micro-batch. Its loss and terms are divided by the number of micro-batches
    /// already.
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
    /// A loss that is not finite.
    pub fn read(self, report: &mut StepReport) -> Result<(), TrainError> {
        fill(report, &read(self.scalars), &self.terms)
    }
}

/// A step whose figures are still on the device, where its update was made without looking at them.
#[derive(Debug)]
pub(crate) struct Unread {
    report: StepReport,
    terms: Vec<&'static str>,
    /// Those that had a gradient.
    parameters: Vec<String>,
    /// Figures, then a value of each gradient.
    values: Tensor<1>,
}

impl Unread {
    /// `gradients`: a value for each of the parameters, `[n]`, that is finite if its gradient is.
    pub fn new(
        report: StepReport,
        figures: Figures,
        (parameters, gradients): (Vec<String>, Tensor<1>),
    ) -> Self {
        let Figures { mut scalars, terms } = figures;
        scalars.extend((!parameters.is_empty()).then_some(gradients));
        Self { report, terms, parameters, values: Tensor::cat(scalars, 0) }
    }

    /// Reads several steps at once, in their order: their reports up to the first loss or gradient
    /// that is not finite, and that.
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

/// Means over the micro-batches, but for the spread, which is that of the last.
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
