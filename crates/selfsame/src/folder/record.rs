//! The lines of `metrics.jsonl`: what is known after a step, and after an evaluation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

/// After an optimiser step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepLine {
    pub step: u64,
    pub epoch: f64,
    pub loss: f32,
    pub learning_rate: f64,
    /// Of the projections of the batch, times √dim.
    pub embedding_std: f32,
    /// The parts of the loss, and what else the method says of a step.
    #[serde(flatten)]
    pub terms: BTreeMap<String, f32>,
}

/// After an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationLine {
    pub step: u64,
    /// A whole number after an epoch, 3.5 in the middle of the fourth.
    #[serde(serialize_with = "whole_or_part")]
    pub epoch: f64,
    pub knn_top1: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear_top1: Option<f64>,
    /// Of training, without evaluations.
    pub train_seconds: f64,
    pub feature_std: f64,
    pub effective_rank: f64,
    /// The doctor's headline.
    pub diagnosis: String,
    #[serde(flatten)]
    pub doctor: DoctorFigures,
}

/// What the doctor measured on two views of the same images.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DoctorFigures {
    pub projection_std: f64,
    pub projection_rank: f64,
    pub projection_directions: usize,
    pub alignment: f64,
    pub uniformity: f64,
    pub on_diagonal: f64,
    pub off_diagonal: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictor_rank: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_weight_distance: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_projection_distance: Option<f64>,
}

/// The log of a run.
#[derive(Debug, Default)]
pub struct Log {
    pub steps: Vec<StepLine>,
    pub evaluations: Vec<EvaluationLine>,
}

impl Log {
    /// Of the text of `metrics.jsonl`. Lines that are neither are left out: another version of this
    /// program may have written them.
    pub fn parse(text: &str) -> Self {
        let mut log = Self::default();
        for line in text.lines() {
            // Only evaluations have these figures.
            if let Ok(evaluation) = serde_json::from_str(line) {
                log.evaluations.push(evaluation);
            } else if let Ok(step) = serde_json::from_str(line) {
                log.steps.push(step);
            }
        }
        log
    }
}

fn whole_or_part<S: Serializer>(epoch: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if epoch.fract() == 0.0 {
        serializer.serialize_u64(*epoch as u64)
    } else {
        serializer.serialize_f64(*epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_and_each_is_known_for_what_it_is() {
        let step = StepLine {
            step: 7,
            epoch: 0.5,
            loss: 0.1,
            learning_rate: 1e-3,
            embedding_std: 0.9,
            terms: [("tau".to_owned(), 0.99)].into(),
        };
        let evaluation = EvaluationLine {
            step: 14,
            epoch: 1.0,
            knn_top1: Some(0.5),
            linear_top1: None,
            train_seconds: 3.5,
            feature_std: 0.2,
            effective_rank: 9.0,
            diagnosis: "no collapse".into(),
            doctor: DoctorFigures { predictor_rank: Some(3.0), ..DoctorFigures::default() },
        };
        let text = format!(
            "{}\nnonsense\n{}\n{{\"step\":1}}\n",
            serde_json::to_string(&step).unwrap(),
            serde_json::to_string(&evaluation).unwrap()
        );
        assert!(text.contains("\"epoch\":1,") && text.contains("\"loss\":0.1,"), "{text}");
        assert!(text.contains("\"tau\":0.99") && !text.contains("target"), "{text}");
        let log = Log::parse(&text);
        assert_eq!((log.steps, log.evaluations), (vec![step], vec![evaluation]));
    }
}
