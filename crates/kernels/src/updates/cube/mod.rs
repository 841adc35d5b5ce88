//! [`ListOps`] on CubeCL's backends.

mod kernels;
mod launches;
mod layout;

use burn::backend::tensor::FloatTensor;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::{CubeBackend, CubeDevice};

use super::list::{AdamWRule, ListOps, SgdRule, TensorList};
use kernels::{REDUCED, UPDATED};
use launches::{Groups, Output, cube_dim, floats, integers};

impl ListOps for CubeBackend {
    fn list_sgd(
        list: TensorList<Self>,
        scales: TensorList<Self>,
        rule: SgdRule,
    ) -> TensorList<Self> {
        let Some((client, device)) = place(&list) else { return list };
        let columns = layout::columns(list.0, rule.rates.len(), 1, false);
        let mut outputs = vec![Output::Replaces(0)];
        if rule.momentum {
            outputs.push(if columns.len() > 2 { Output::Replaces(2) } else { Output::Like(1) });
        }
        let rates = floats(&client, &device, rule.rates.as_flattened());
        let scale = scales.0.into_iter().next().map(burn_cubecl::kernel::into_contiguous);
        let groups = Groups::new(&client, columns, &outputs, UPDATED, 2);
        let new = groups.launch(|launch| {
            let [parameters, gradients] = [0, 1].map(|i| launch.inputs[i].take());
            let velocities = launch.inputs.get_mut(2).map(|v| v.take()).unwrap_or_default();
            let new_parameters = launch.outputs[0].take();
            let new_velocities = launch.outputs.get_mut(1).map(|v| v.take()).unwrap_or_default();
            let scales: Vec<BufferArg> =
                scale.iter().map(|scale| scale.clone().into_buffer_arg()).collect();
            // SAFETY: the kernel reads and writes below each job's length. All tensors of a job
            // have this length. The table names only jobs and scales that exist.
            unsafe {
                kernels::sgd::launch_unchecked(
                    &client,
                    launch.count.clone(),
                    cube_dim(),
                    launch.vector,
                    parameters.into_iter().collect(),
                    gradients.into_iter().collect(),
                    velocities.into_iter().collect(),
                    new_parameters.into_iter().collect(),
                    new_velocities.into_iter().collect(),
                    scales.into_iter().collect(),
                    rates.clone().into_buffer_arg(),
                    launch.table(),
                    rule.nesterov,
                );
            }
        });
        TensorList(new)
    }

    fn list_adamw(list: TensorList<Self>, rule: AdamWRule) -> TensorList<Self> {
        let Some((client, device)) = place(&list) else { return list };
        let columns = layout::columns(list.0, rule.rates.len(), 1, false);
        let outputs = match columns.len() {
            2 => [Output::Replaces(0), Output::Like(1), Output::Like(1)],
            _ => [Output::Replaces(0), Output::Replaces(2), Output::Replaces(3)],
        };
        let rates = floats(&client, &device, rule.rates.as_flattened());
        let groups = Groups::new(&client, columns, &outputs, UPDATED, 1);
        let new = groups.launch(|launch| {
            let [parameters, gradients] = [0, 1].map(|i| launch.inputs[i].take());
            let [first, second] =
                [2, 3].map(|i| launch.inputs.get_mut(i).map(|v| v.take()).unwrap_or_default());
            let [new_parameters, new_first, new_second] =
                [0, 1, 2].map(|i| launch.outputs[i].take());
            // SAFETY: as in `list_sgd`.
            unsafe {
                kernels::adamw::launch_unchecked(
                    &client,
                    launch.count.clone(),
                    cube_dim(),
                    launch.vector,
                    parameters.into_iter().collect(),
                    gradients.into_iter().collect(),
                    first.into_iter().collect(),
                    second.into_iter().collect(),
                    new_parameters.into_iter().collect(),
                    new_first.into_iter().collect(),
                    new_second.into_iter().collect(),
                    rates.clone().into_buffer_arg(),
                    launch.table(),
                );
            }
        });
        TensorList(new)
    }

    fn list_moving_average(list: TensorList<Self>, tau: f64) -> TensorList<Self> {
        let Some((client, device)) = place(&list) else { return list };
        let jobs = list.0.len() / 2;
        let columns = layout::columns(list.0, jobs, 1, false);
        let rates = floats(&client, &device, &[tau as f32, (1.0 - tau) as f32]);
        let groups = Groups::new(&client, columns, &[Output::Replaces(0)], UPDATED, 1);
        let new = groups.launch(|launch| {
            let [averages, values] = [0, 1].map(|i| launch.inputs[i].take());
            let new_averages = launch.outputs[0].take();
            // SAFETY: as in `list_sgd`.
            unsafe {
                kernels::moving_average::launch_unchecked(
                    &client,
                    launch.count.clone(),
                    cube_dim(),
                    launch.vector,
                    averages.into_iter().collect(),
                    values.into_iter().collect(),
                    new_averages.into_iter().collect(),
                    rates.clone().into_buffer_arg(),
                    launch.table(),
                );
            }
        });
        TensorList(new)
    }

    fn list_norms(
        list: TensorList<Self>,
        decays: Vec<f32>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let jobs = decays.len();
        let (client, device) = (list.0[0].client.clone(), list.0[0].device.clone());
        let columns = layout::columns(list.0, jobs, 1, true);
        let decays = floats(&client, &device, &decays);
        let groups = Groups::new(&client, columns, &[], REDUCED, 2);
        let sums = launches::empty(&client, &device, 3 * groups.cubes().max(1));
        let ends = integers(&client, &device, &groups.ends(jobs));
        groups.launch(|launch| {
            let [parameters, gradients] = [0, 1].map(|i| launch.inputs[i].take());
            // SAFETY: as in `list_sgd`; there is a row of sums for every cube of the table.
            unsafe {
                kernels::squares::launch_unchecked(
                    &client,
                    launch.count.clone(),
                    cube_dim(),
                    launch.vector,
                    parameters.into_iter().collect(),
                    gradients.into_iter().collect(),
                    sums.clone().into_buffer_arg(),
                    decays.clone().into_buffer_arg(),
                    launch.table(),
                    launch.offset,
                    launch.cubes,
                );
            }
        });
        let [w, g, decayed] = [(); 3].map(|()| launches::empty(&client, &device, jobs));
        // SAFETY: there is one cube for each job. Each job has a row in `ends`, and this row names
        // rows of `sums`.
        unsafe {
            kernels::norms::launch_unchecked(
                &client,
                CubeCount::Static(jobs as u32, 1, 1),
                cube_dim(),
                sums.into_buffer_arg(),
                ends.into_buffer_arg(),
                w.clone().into_buffer_arg(),
                g.clone().into_buffer_arg(),
                decayed.clone().into_buffer_arg(),
            );
        }
        (w, g, decayed)
    }

    fn list_not_finite(list: TensorList<Self>) -> FloatTensor<Self> {
        let jobs = list.0.len();
        let (client, device) = (list.0[0].client.clone(), list.0[0].device.clone());
        let columns = layout::columns(list.0, jobs, 0, true);
        let groups = Groups::new(&client, columns, &[], REDUCED, 1);
        let found = launches::empty(&client, &device, groups.cubes().max(1));
        let ends = integers(&client, &device, &groups.ends(jobs));
        groups.launch(|launch| {
            let tensors = launch.inputs[0].take();
            // SAFETY: as in `list_norms`.
            unsafe {
                kernels::search::launch_unchecked(
                    &client,
                    launch.count.clone(),
                    cube_dim(),
                    launch.vector,
                    tensors.into_iter().collect(),
                    found.clone().into_buffer_arg(),
                    launch.table(),
                    launch.offset,
                    launch.cubes,
                );
            }
        });
        let of_job = launches::empty(&client, &device, jobs);
        // SAFETY: as in `list_norms`.
        unsafe {
            kernels::first_found::launch_unchecked(
                &client,
                CubeCount::Static(jobs as u32, 1, 1),
                cube_dim(),
                found.into_buffer_arg(),
                ends.into_buffer_arg(),
                of_job.clone().into_buffer_arg(),
            );
        }
        of_job
    }
}

fn place(list: &TensorList<CubeBackend>) -> Option<(Client, CubeDevice)> {
    list.0.first().map(|tensor| (tensor.client.clone(), tensor.device.clone()))
}
