//! Rows of words as a table.

use super::out::plain;

/// Draws a head and rows, each column as wide as it must be.
pub(super) fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let mut all = vec![head.map(str::to_owned)];
    all.extend(
        rows.iter()
            .map(|row| row.each_ref().map(|word| plain(word))),
    );
    let width = |at: usize| {
        all.iter()
            .map(|row| row[at].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let words = row
            .iter()
            .zip(&widths)
            .map(|(word, width)| format!("{word:<width$}"));
        words.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_are_as_wide_as_their_widest_word() {
        let rows = [
            ["a".into(), "long\n".into()],
            ["longer".into(), String::new()],
        ];
        let drawn = columns(["X", "Y"], &rows).join("\n");
        assert_eq!(drawn, "X       Y\na       long\\u{a}\nlonger");
    }
}
