//! Tables for people: names to the left, numbers to the right.

/// `left` columns are names.
pub fn aligned(heads: &[&str], left: usize, rows: Vec<Vec<String>>) -> String {
    let mut all = vec![heads.iter().map(|head| (*head).to_owned()).collect()];
    all.extend(rows);
    let width_of = |column: usize| all.iter().map(|row: &Vec<String>| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width_of).collect();
    let mut text = String::new();
    for row in &all {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            line += &if column < left { format!("{gap}{cell:<width$}") } else { format!("{gap}{cell:>width$}") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Microseconds since 1970 as RFC 3339; the number itself where it is out of range.
pub fn time(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |time| time.to_string())
}

/// `5`, or `3..5`.
pub fn range((first, last): (u64, u64)) -> String {
    if first == last { first.to_string() } else { format!("{first}..{last}") }
}

/// `1 file`, `2 files`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
