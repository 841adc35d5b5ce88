//! Tables of figures, with confidence intervals drawn if known.

use std::fmt::Write;

use crate::html::{escape, heading};
use crate::numbers::coordinate;
use crate::{Cell, Table};

/// Tables one below the other.
pub fn tables(tables: &[Table]) -> String {
    tables.iter().map(table).collect()
}

fn table(table: &Table) -> String {
    let columns = table.rows.iter().map(Vec::len).chain([table.header.len()]).max().unwrap_or(0);
    let at = |row: usize, column: usize| table.rows[row].get(column);
    let columns: Vec<Column> = (0..columns)
        .map(|c| {
            Column::of(
                (0..table.rows.len()).filter_map(|r| at(r, c)).collect::<Vec<_>>().as_slice(),
            )
        })
        .collect();
    let stacked = stacks(table, &columns);
    let class = if stacked { "table stacks" } else { "table" };
    let mut html = format!(
        "<figure class=\"{class}\"><figcaption>{}</figcaption><div class=\"scroll\" tabindex=\"0\" role=\"region\" \
         aria-label=\"{}\"><table><thead><tr>",
        heading(&table.title, &table.caption),
        escape(&table.title)
    );
    for (i, column) in columns.iter().enumerate() {
        let text = table.header.get(i).map_or("", String::as_str);
        // The first column has names, whatever they begin with.
        let class = if i == 0 { "" } else { column.class() };
        let _ = write!(html, "<th scope=\"col\"{class}>{}</th>", escape(text));
    }
    html.push_str("</tr></thead><tbody>");
    for row in &table.rows {
        html.push_str("<tr>");
        for (i, column) in columns.iter().enumerate() {
            let empty = Cell::default();
            let cell = row.get(i).unwrap_or(&empty);
            match i {
                0 => html.push_str(&row_name(cell)),
                _ if stacked => {
                    let name = table.header.get(i).map_or("", String::as_str);
                    html.push_str(&column.named_cell(cell, "", name));
                }
                _ => html.push_str(&column.cell(cell, "")),
            }
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div></figure>");
    html
}

/// Widths in pixels: a table on a phone, a letter of a cell and one of a header in small type, the
/// space around them, and the least width of a name. The style sheet has the same values.
const PHONE: f64 = 326.0;
const LETTERS: [f64; 2] = [8.2, 7.6];
const AROUND: f64 = 10.0;
const LEAST_NAME: f64 = 88.0;

/// Whether a table is too wide for a phone. Its cells then stack there.
fn stacks(table: &Table, columns: &[Column]) -> bool {
    let longest = |i: usize| {
        let cells = table.rows.iter().filter_map(|row| row.get(i));
        cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0) as f64
    };
    let word = |i: usize| {
        let words = table.header.get(i).into_iter().flat_map(|text| text.split(' '));
        words.map(|word| word.chars().count()).max().unwrap_or(0) as f64
    };
    let width = |i: usize, column: &Column| match column.name() {
        _ if i == 0 => LEAST_NAME,
        "prose" => PHONE,
        _ => (LETTERS[0] * longest(i)).max(LETTERS[1] * word(i)) + AROUND,
    };
    columns.iter().enumerate().map(|(i, column)| width(i, column)).sum::<f64>() > PHONE
}

/// The first cell of a row.
pub fn row_name(cell: &Cell) -> String {
    let text = escape(&cell.text);
    let text = if cell.strong { format!("<b>{text}</b>") } else { text };
    format!("<th scope=\"row\">{text}</th>")
}

/// Characters of a cell. A longer cell is a sentence.
const LINE: usize = 40;

/// What the cells of a column have in common.
pub struct Column {
    numeric: bool,
    /// The column holds sentences. A narrow screen must not squeeze them into single words.
    prose: bool,
    /// The span of all intervals, with a margin.
    span: Option<(f64, f64)>,
}

impl Column {
    /// From all cells of the column.
    pub fn of(cells: &[&Cell]) -> Self {
        let filled = || cells.iter().filter(|c| !c.text.is_empty());
        let numbers = filled().filter(|c| is_number(&c.text)).count();
        let ends = cells.iter().filter_map(|c| drawable(c)).flatten();
        let (low, high) =
            ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let numeric = numbers > 0 && numbers * 2 >= filled().count();
        Self {
            numeric,
            prose: !numeric && filled().any(|c| c.text.chars().count() > LINE),
            span: (low < high).then_some((low - 0.04 * (high - low), high + 0.04 * (high - low))),
        }
    }

    /// The class attribute of the column's cells.
    pub fn class(&self) -> &'static str {
        match self.name() {
            "number" => " class=\"number\"",
            "prose" => " class=\"prose\"",
            _ => "",
        }
    }

    fn name(&self) -> &'static str {
        match (self.numeric, self.prose) {
            (true, _) => "number",
            (_, true) => "prose",
            _ => "",
        }
    }

    /// A cell, with its interval on the column's scale and a `mark` (a class) of its own.
    pub fn cell(&self, cell: &Cell, mark: &str) -> String {
        self.named_cell(cell, mark, "")
    }

    /// A cell with its column's name, which is shown when cells stack.
    fn named_cell(&self, cell: &Cell, mark: &str, column: &str) -> String {
        let column = match column {
            "" => String::new(),
            name => format!(" data-column=\"{}\"", escape(name)),
        };
        let text = escape(&cell.text);
        let text = if cell.strong { format!("<b>{text}</b>") } else { text };
        let class = format!("{} {mark}", self.name());
        let class = match class.trim() {
            "" => String::new(),
            class => format!(" class=\"{class}\""),
        };
        let interval = match (self.span, drawable(cell)) {
            (Some((low, high)), Some(ends)) => {
                let [from, at, to] = ends.map(|v| 100.0 * (v - low) / (high - low));
                format!(
                    "<span class=\"interval\" aria-hidden=\"true\"><i style=\"left:{}%;width:{}%\"></i>\
                     <b style=\"left:{}%\"></b></span>",
                    coordinate(from),
                    coordinate(to - from),
                    coordinate(at)
                )
            }
            _ => String::new(),
        };
        format!("<td{class}{column}>{text}{interval}</td>")
    }
}

fn drawable(cell: &Cell) -> Option<[f64; 3]> {
    cell.interval.filter(|i| i.iter().all(|v| v.abs() < 1e100) && i[0] <= i[1] && i[1] <= i[2])
}

fn is_number(text: &str) -> bool {
    text.trim_start_matches(['-', '−', '+', '±', '≈', '<', '>', ' '])
        .starts_with(|c: char| c.is_ascii_digit())
        || text == "–"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_row_is_filled_up_and_numbers_stand_right() {
        let rows = vec![vec!["k-NN".into(), "75.5 %".into()], vec!["linear".into()]];
        let header = vec!["probe".into(), "top-1".into()];
        let html = table(&Table { header, rows, ..Table::default() });
        assert!(html.contains("<th scope=\"col\" class=\"number\">top-1</th>"));
        assert!(html.contains("<th scope=\"row\">linear</th><td class=\"number\"></td>"));
    }

    #[test]
    fn a_table_too_wide_for_a_phone_stacks_its_rows() {
        let of = |columns: usize, header: &str| {
            let row = |i: usize| (0..columns).map(|_| Cell::from(format!("0.{i:03}"))).collect();
            let header = vec![header.to_owned(); columns];
            table(&Table { header, rows: (0..3).map(row).collect(), ..Table::default() })
        };
        // As that of invariance: a name and three numbers.
        let narrow = of(4, "untrained");
        assert!(narrow.contains("class=\"table\"") && !narrow.contains("data-column"));
        let wide = of(7, "k-NN, the run's <k>");
        assert!(wide.contains("class=\"table stacks\""));
        assert_eq!(wide.matches(" data-column=\"k-NN, the run&#39;s &lt;k&gt;\"").count(), 18);
    }

    #[test]
    fn sentences_are_told_from_words() {
        let class = |text: &str| Column::of(&[&"healthy".into(), &text.into()]).class();
        assert_eq!(class("no predictor"), "");
        assert_eq!(
            class("complete collapse: every image maps to one direction"),
            " class=\"prose\""
        );
    }

    #[test]
    fn an_interval_that_is_none_is_not_drawn() {
        let interval = |i| Cell { text: "1".into(), interval: Some(i), strong: false };
        let cells = [[0.2, 0.4, 0.6], [f64::NAN, 0.5, 0.6], [0.9, 0.5, 0.6]].map(interval);
        let column = Column::of(&cells.iter().collect::<Vec<_>>());
        let drawn = cells.map(|c| column.cell(&c, "").contains("interval"));
        assert_eq!(drawn, [true, false, false]);
    }
}
