//! DINO: the student's distribution follows the teacher's.

use burn::tensor::Tensor;

use crate::cross_entropy::{below_maximum, log_sum_exp, softmax};
use crate::{at_least_f32, sums};

/// DINO's self-distillation loss of two global views (Caron et al., 2021, algorithm 1).
///
/// `L = ½ [H(t1, s2) + H(t2, s1)]` with `H(t, s) = −mean_i Σ_k P_t(k) log P_s(k)`,
/// `P_s = softmax(s / τ_s)` and `P_t = softmax((t − C) / τ_t)`. C, the running mean of the
/// teacher's logits, keeps one prototype from always winning. A small τ_t keeps all prototypes from
/// being equal. C and the schedule of τ_t belong to the method, so they are arguments of each call.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use selfsame_losses::DinoLoss;
///
/// let device = Device::flex();
/// let logits = || Tensor::<2>::random([8, 16], Distribution::Default, &device);
/// let center = Tensor::<1>::zeros([16], &device);
/// let (students, teachers) = ((logits(), logits()), (logits(), logits()));
/// let loss = DinoLoss::default().symmetric(students, teachers, center, 0.04);
/// assert!(loss.into_scalar::<f32>() > 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DinoLoss {
    /// τ_s > 0: 0.1 in the paper.
    pub student_temperature: f32,
}

impl Default for DinoLoss {
    fn default() -> Self {
        Self { student_temperature: 0.1 }
    }
}

impl DinoLoss {
    /// The mean over both directions.
    ///
    /// - `students`: `(s1, s2)`, logits of view 1 and view 2, `[batch, prototypes]`, any float
    ///   type; computed in f32 at least.
    /// - `teachers`: `(t1, t2)`, likewise; detached here.
    /// - `center`: C, `[prototypes]`; detached here.
    /// - `teacher_temperature`: τ_t > 0; 0.04, warmed up to 0.07, in the paper's ViT-S.
    /// - returns a scalar `[1]`, at least 0, differentiable in the students only.
    ///
    /// Swapping the views (both pairs at once) leaves it unchanged, and so does a constant added to
    /// all logits of a row.
    pub fn symmetric(
        &self,
        students: (Tensor<2>, Tensor<2>),
        teachers: (Tensor<2>, Tensor<2>),
        center: Tensor<1>,
        teacher_temperature: f32,
    ) -> Tensor<1> {
        let center = at_least_f32(center.detach()).unsqueeze_dim::<2>(0);
        let target = |t: Tensor<2>| {
            let centred = at_least_f32(t.detach()) - center.clone();
            softmax(below_maximum(centred).div_scalar(teacher_temperature))
        };
        let (s1, s2) = students;
        let (t1, t2) = teachers;
        (self.entropy(target(t1), s2) + self.entropy(target(t2), s1)).mul_scalar(0.5)
    }

    /// `H(t, s)` of the teacher's probabilities and the student's logits.
    ///
    /// The probabilities of a row sum to 1, so `log Σ_k exp` can be taken out of the sum.
    fn entropy(&self, target: Tensor<2>, student: Tensor<2>) -> Tensor<1> {
        let logits = below_maximum(at_least_f32(student)).div_scalar(self.student_temperature);
        let expected = sums::sum_dim(target * logits.clone(), 1);
        sums::mean(log_sum_exp(logits) - expected)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[test]
    fn hand_computed() {
        let device = Device::flex();
        let pair = |rows: [[f32; 2]; 1]| Tensor::<2>::from_floats(rows, &device);
        // Centred, t1 is even and t2 certain of prototype 0; s1 is even.
        let center = Tensor::<1>::from_floats([1.0, 0.0], &device);
        let loss = DinoLoss { student_temperature: 1.0 }.symmetric(
            (pair([[5.0, 5.0]]), pair([[2.0, 0.0]])),
            (pair([[1.0, 0.0]]), pair([[101.0, 0.0]])),
            center,
            0.1,
        );
        let log_sum = (2f32.exp() + 1.0).ln();
        let first = 0.5 * (log_sum - 2.0) + 0.5 * log_sum;
        let second = 2f32.ln();
        assert!((loss.into_scalar::<f32>() - 0.5 * (first + second)).abs() < 1e-6);
    }

    #[test]
    fn only_the_students_learn() {
        let device = Device::flex().autodiff();
        let s = Tensor::<2>::from_floats([[1.0, 2.0]], &device).require_grad();
        let t = Tensor::<2>::from_floats([[2.0, -1.0]], &device).require_grad();
        let center = Tensor::<1>::from_floats([0.5, 0.0], &device).require_grad();
        let pair = |x: &Tensor<2>| (x.clone(), x.clone());
        let loss = DinoLoss::default().symmetric(pair(&s), pair(&t), center.clone(), 0.04);
        let gradients = loss.backward();
        assert!(s.grad(&gradients).is_some());
        assert!(t.grad(&gradients).is_none() && center.grad(&gradients).is_none());
    }
}
