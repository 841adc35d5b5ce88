//! How much a page takes: far more than a run writes, but too little for a hostile file to keep the
//! program busy for long.

use crate::{ReportError, RunReport};

/// Checks the number of every part.
///
/// # Errors
/// The first part with too many items.
pub fn check(run: &RunReport) -> Result<(), ReportError> {
    let most = |counts: &mut dyn Iterator<Item = usize>| counts.max().unwrap_or(0);
    let lines = || run.charts.iter().flat_map(|c| &c.lines);
    let rows = || run.galleries.iter().flat_map(|g| &g.rows);
    let views = || run.views.iter().flat_map(|sheet| &sheet.rows);
    let findings = run.verdict.as_ref().map_or(0, |v| v.findings.len());
    let counts = [
        ("findings", findings, 1000),
        ("figures", run.figures.len(), 1000),
        ("facts about the machine", run.machine.len(), 1000),
        ("tables", run.tables.len(), 200),
        ("rows of a table", most(&mut run.tables.iter().map(|t| t.rows.len())), 2000),
        ("columns of a table", most(&mut run.tables.iter().map(|t| t.header.len())), 200),
        ("cells of a row", most(&mut run.tables.iter().flat_map(|t| &t.rows).map(Vec::len)), 200),
        ("charts", run.charts.len(), 500),
        ("lines of a chart", most(&mut run.charts.iter().map(|c| c.lines.len())), 200),
        ("points of all lines", lines().map(|l| l.points.len()).sum(), 10_000_000),
        ("galleries", run.galleries.len(), 100),
        ("rows of all galleries", rows().count(), 5000),
        ("neighbours of a query", most(&mut rows().map(|r| r.neighbours.len())), 500),
        ("rows of views", views().count(), 1000),
        ("views of an image", most(&mut views().map(Vec::len)), 100),
        ("maps", run.maps.len(), 100),
        ("heat maps", run.heatmaps.len(), 100),
        ("bytes of settings", run.settings.len(), 1 << 20),
        ("bytes of a command", run.command.len(), 1 << 20),
        ("snippets", run.snippets.len(), 100),
    ];
    for (what, count, most) in counts {
        if count > most {
            return Err(ReportError::TooMany { what, count, most });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Table, comparison, page};

    #[test]
    fn too_many_parts_are_an_error() {
        let tables = vec![Table { rows: vec![vec![]; 2001], ..Table::default() }];
        let run = RunReport { tables, ..RunReport::default() };
        assert!(matches!(page(&run), Err(ReportError::TooMany { count: 2001, .. })));
        assert!(matches!(comparison(&[run]), Err(ReportError::TooMany { most: 2000, .. })));
    }
}
