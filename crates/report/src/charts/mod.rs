//! Figures drawn as SVG: lines, heat maps and maps of points.

pub(crate) mod axis;
pub(crate) mod chart;
pub(crate) mod heatmap;
pub(crate) mod map;
mod svg;
