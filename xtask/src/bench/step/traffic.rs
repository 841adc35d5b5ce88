//! The bytes that a step moves, from Burn's log of operations.
//!
//! CubeCL does not tell the buffers of a launch. Burn's fusion layer logs every operation with the
//! shapes and types of its inputs and outputs, and which operations became one kernel. The bytes
//! are counted from this log. A kernel of an extension is one operation there.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

/// Each operation, or group of operations that is one kernel, reads its inputs once and writes its
/// outputs once. Internal copies are not included. They are separate kernels and show among the
/// launches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    pub read: u64,
    pub written: u64,
}

/// The traffic of a step. `step` is the log of its operations. `next` is the log of the next step:
/// it shows which results were kept. `None` if the log does not have the format of Burn 0.22.
pub fn traffic(step: &[String], next: &[String]) -> Option<Traffic> {
    let blocks = blocks(step)?;
    let counted = blocks.len();
    let blocks: Vec<Block> = blocks.into_iter().chain(self::blocks(next)?).collect();
    // The last block that reads a tensor.
    let mut last_read = HashMap::new();
    for (at, block) in blocks.iter().enumerate() {
        let read = block.operations.iter().filter(|op| op.kind() != Kind::Nothing);
        last_read.extend(read.flat_map(|op| &op.inputs).map(|input| (input.id, at)));
    }
    // The source of a tensor that is only a view of another.
    let mut held = HashMap::new();
    let mut traffic = Traffic::default();
    for (at, block) in blocks[..counted].iter().enumerate() {
        let mut made = HashSet::new();
        let mut read = HashSet::new();
        for operation in &block.operations {
            let kind = operation.kind();
            let holds = |held: &HashMap<u64, u64>, tensor: &Tensor| {
                held.get(&tensor.id).copied().unwrap_or(tensor.bytes)
            };
            if kind == Kind::View {
                for (input, output) in operation.inputs.iter().zip(&operation.outputs) {
                    held.insert(output.id, holds(&held, input).min(output.bytes));
                    if made.contains(&input.id) {
                        made.insert(output.id);
                    }
                }
                continue;
            }
            if kind == Kind::Nothing {
                continue;
            }
            for input in &operation.inputs {
                // Each operation with its own kernel reads its inputs again.
                if !made.contains(&input.id) && (read.insert(input.id) || !block.fused) {
                    traffic.read += holds(&held, input);
                }
            }
            for output in &operation.outputs {
                let leaves = last_read.get(&output.id).is_some_and(|&last| last > at);
                if !block.fused || leaves {
                    traffic.written += output.bytes;
                }
                if block.fused {
                    made.insert(output.id);
                }
            }
        }
    }
    Some(traffic)
}

/// Operations that ran together.
struct Block {
    fused: bool,
    operations: Vec<Operation>,
}

struct Operation {
    name: String,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

struct Tensor {
    id: u64,
    bytes: u64,
}

#[derive(PartialEq)]
enum Kind {
    /// Reads and writes.
    Kernel,
    /// Only a view of the same bytes.
    View,
    /// Frees memory, or lets the host fill it.
    Nothing,
}

impl Operation {
    fn kind(&self) -> Kind {
        let (group, name) = self.name.split_once("::").unwrap_or((self.name.as_str(), ""));
        match (group, name) {
            ("Drop" | "Init", _) => Kind::Nothing,
            (_, "Reshape" | "SwapDims" | "Permute" | "Expand" | "Unfold") => Kind::View,
            _ => Kind::Kernel,
        }
    }
}

/// Operations from all tables in the log. Other lines are skipped.
fn blocks(log: &[String]) -> Option<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    for table in log.iter().filter(|text| text.contains("\nfusion trace (")) {
        let mut lines = table.lines().skip_while(|line| !line.starts_with("idx "));
        let header = lines.next()?;
        let starts = ["block", "op", "inputs", "outputs"].map(|name| header.find(name));
        let [Some(block), Some(op), Some(inputs), Some(outputs)] = starts else { return None };
        for line in lines.skip(1) {
            let line: Vec<char> = line.chars().collect();
            let column = |from: usize, to: usize| -> String {
                let cells = line.get(from..to.min(line.len())).unwrap_or_default();
                cells.iter().collect::<String>().trim().to_owned()
            };
            match column(block, op).as_str() {
                "" => {}
                head => {
                    let fused = head.contains(" fused ");
                    blocks.push(Block { fused, operations: Vec::new() });
                }
            }
            blocks.last_mut()?.operations.push(Operation {
                name: column(op, inputs),
                inputs: tensors(&column(inputs, outputs))?,
                outputs: tensors(&column(outputs, usize::MAX))?,
            });
        }
    }
    Some(blocks)
}

/// `t1:f32[8,3], t2:bf16[]`.
fn tensors(text: &str) -> Option<Vec<Tensor>> {
    text.split(", ").filter(|tensor| !tensor.is_empty()).map(tensor).collect()
}

fn tensor(text: &str) -> Option<Tensor> {
    let (id, rest) = text.strip_prefix('t')?.split_once(':')?;
    let (kind, shape) = rest.strip_suffix(']')?.split_once('[')?;
    let size = match kind {
        "f64" | "i64" | "u64" => 8,
        "f32" | "flex32" | "i32" | "u32" | "bool(U32)" => 4,
        "f16" | "bf16" | "i16" | "u16" => 2,
        "i8" | "u8" | "bool(Native)" | "bool(U8)" => 1,
        _ => return None,
    };
    let mut dims = shape.split(',').filter(|dim| !dim.is_empty()).map(str::parse::<u64>);
    let elements = dims.try_fold(1, |product: u64, dim| product.checked_mul(dim.ok()?))?;
    Some(Tensor { id: id.parse().ok()?, bytes: elements.checked_mul(size)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In Burn's format: two spaces between columns.
    fn table(rows: &[[&str; 4]]) -> String {
        let mut text = "═══\nfusion trace (some ops)\n".to_owned();
        let dashes = "-".repeat(3);
        let head = [["block", "op", "inputs", "outputs"], [dashes.as_str(); 4]];
        for (at, [block, op, inputs, outputs]) in head.iter().chain(rows).enumerate() {
            let first = if at == 0 { "idx" } else { "0  " };
            text += &format!("{first}  {block:<40}  {op:<22}  {inputs:<40}  {outputs}\n");
        }
        text
    }

    #[test]
    fn an_operation_reads_its_inputs_and_writes_its_outputs() {
        let step = table(&[
            ["▸ un-fused (2 ops)", "Module::Conv2d", "t1:bf16[2,3], t2:f32[5]", "t3:f32[4]"],
            ["", "Custom", "t3:f32[4]", "t4:f32[2], t5:bool(Native)[2]"],
        ]);
        let found = traffic(&[step], &[]).unwrap();
        assert_eq!(found, Traffic { read: 12 + 20 + 16, written: 16 + 8 + 2 });
    }

    #[test]
    fn what_stays_within_one_kernel_is_not_written() {
        let step = table(&[
            [
                "▸ fused ElementWise (score=9, 3 ops)",
                "NumericFloat::Mul",
                "t1:f32[8], t1:f32[8]",
                "t2:f32[8]",
            ],
            ["", "NumericFloat::Add", "t2:f32[8], t1:f32[8]", "t3:f32[8]"],
            ["", "Float::Exp", "t3:f32[8]", "t4:f32[8]"],
            ["▸ un-fused (2 ops)", "Module::Linear", "t3:f32[8]", "t5:f32[1]"],
            ["", "Drop", "t3:f32[8]", ""],
        ]);
        let next = table(&[["▸ un-fused (1 op)", "Custom", "t4:f32[8]", "t6:f32[8]"]]);
        // t3 is read by the next kernel, t4 by the next step.
        let kept = traffic(std::slice::from_ref(&step), &[next]).unwrap();
        assert_eq!(kept, Traffic { read: 32 + 32, written: 64 + 4 });
        assert_eq!(traffic(&[step], &[]).unwrap().written, 32 + 4);
    }

    #[test]
    fn looking_at_bytes_in_another_way_moves_none() {
        let step = table(&[
            ["▸ un-fused (3 ops)", "BaseFloat::Expand", "t1:f32[1,4]", "t2:f32[100,4]"],
            ["", "BaseFloat::Reshape", "t2:f32[100,4]", "t3:f32[400]"],
            ["", "Custom", "t3:f32[400]", "t4:f32[1]"],
        ]);
        assert_eq!(traffic(&[step], &[]).unwrap(), Traffic { read: 16, written: 4 });
    }

    #[test]
    fn another_form_is_not_guessed_at() {
        let odd = table(&[["▸ un-fused (1 op)", "Custom", "t3:complex[400]", "t4:f32[1]"]]);
        assert_eq!(traffic(&[odd], &[]), None);
        assert_eq!(traffic(&["[plan] something".into()], &[]), Some(Traffic::default()));
    }
}
