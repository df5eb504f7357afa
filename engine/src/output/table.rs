//! Columns for people: two spaces between, no lines, nothing after the last cell.

use super::clean::clean;
use super::style::{Style, Tone};

/// Lays out rows under their headings; cells are cleaned here. Columns are as wide as their widest cell, at most 60
/// characters (longer cells push the rest of their row to the right).
pub fn table(headings: &[&str], rows: &[Vec<String>], style: &Style) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell).into_owned()).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let heading = headings.get(column).map_or(0, |it| it.chars().count());
        cells.filter(|it| *it <= 60).chain([heading]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &[String]| {
        let mut out = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            out.push_str(&format!("{cell:width$}  "));
        }
        out.truncate(out.trim_end().len());
        out
    };
    let heading = line(&headings.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    let mut out = style.paint(Tone::Strong, heading).into_owned();
    out.push('\n');
    for row in &rows {
        out.push_str(&line(row));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_cells_are_cleaned() {
        let rows = [vec!["prod".to_owned(), "ok".to_owned()], vec!["staging\u{1b}".to_owned(), String::new()]];
        let want = "ENVIRONMENT    SYNC\nprod           ok\nstaging\\u001b\n";
        assert_eq!(table(&["ENVIRONMENT", "SYNC"], &rows, &Style::PLAIN), want);
    }
}
