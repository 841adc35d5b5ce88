//! Walks over a module's tensors with their names.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Visits every float tensor of a module: parameters and running statistics.
pub trait NamedVisitor {
    /// `name` is the path through the module. For our encoders it is torchvision's name
    /// (`layer1.0.conv1.weight`).
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>);
}

/// Replaces float tensors of a module.
pub trait NamedMapper {
    /// The tensor that replaces `param`. `name` as in [`NamedVisitor::visit`].
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>>;
}

/// Shows all float tensors to `visitor`, in the order of the module's fields.
pub fn visit_named<M: Module>(module: &M, visitor: &mut impl NamedVisitor) {
    module.visit(&mut Walk { path: Path::default(), visitor });
}

/// Maps all float tensors with `mapper`, in the order of the module's fields.
pub fn map_named<M: Module>(module: M, mapper: &mut impl NamedMapper) -> M {
    module.map(&mut Walk { path: Path::default(), visitor: mapper })
}

struct Walk<'a, V> {
    path: Path,
    visitor: &'a mut V,
}

/// The current path of a walk, without variant names of enums: a block is `layer1.0`, not
/// `layer1.0.Basic`.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn enter(&mut self, name: &str, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.0.push(name.to_owned());
        }
    }

    fn exit(&mut self, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.0.pop();
        }
    }

    fn name(&self) -> String {
        self.0.join(".")
    }
}

impl<V: NamedVisitor> ModuleVisitor for Walk<'_, V> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.visitor.visit(&self.path.name(), param);
    }

    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }
}

impl<V: NamedMapper> ModuleMapper for Walk<'_, V> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.visitor.map(&self.path.name(), param)
    }

    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }
}
