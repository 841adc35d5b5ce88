//! Linear layers: `x wᵀ` and its gradients, in f32 for operands of any type.

use burn::tensor::DType;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::ops::permute;
use burn_cubecl::tensor::CubeTensor;

/// `x wᵀ`: `[rows, in]`, `[out, in]` → `[rows, out]`.
pub fn forward(x: CubeTensor, weight: CubeTensor) -> CubeTensor {
    product(x, transposed(weight))
}

/// `dy w`: `[rows, in]`.
pub fn input_gradient(weight: CubeTensor, dy: CubeTensor) -> CubeTensor {
    product(dy, weight)
}

/// `dyᵀ x`: `[out, in]`.
pub fn weight_gradient(x: CubeTensor, dy: CubeTensor) -> CubeTensor {
    product(transposed(dy), x)
}

/// The transpose. Nothing is copied.
fn transposed(x: CubeTensor) -> CubeTensor {
    permute(x, &[1, 0])
}

fn product(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    matmul(a, b, None, MatmulStrategy::Cube, DType::F32)
        .expect("a product of dense matrices that fit has a kernel")
}
