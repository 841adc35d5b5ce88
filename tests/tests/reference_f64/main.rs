//! What f32 cannot show: whole trajectories, and gradients through tens of ReLU layers.
//!
//! A pre-activation within rounding of zero takes one side of the ReLU's kink in one program and
//! the other side in the next, which moves a gradient by a per cent at once; training then
//! amplifies it. PyTorch in f32 leaves PyTorch in f64 in the same way. So both sides run in f64
//! here, through the same code as always, and what remains is the algorithm. A device's float type
//! is fixed once per process, hence a test program of its own.

mod gradients;
mod methods;
mod trajectories;

use std::sync::OnceLock;

use burn::tensor::{Device, FloatDType};

/// The Flex device with f64 as its float type.
fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let device = DEVICE.get_or_init(|| {
        let mut device = Device::flex();
        device.configure(FloatDType::F64).expect("nothing has used the device before");
        device
    });
    device.clone()
}
