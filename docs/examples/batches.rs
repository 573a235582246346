//! Line protocol from a file, or from standard input, as Arrow record batches: prints what each batch is.
//!
//! ```text
//! cargo run --release --bin ringest -- generate devops --lines 100000 > devops.lp
//! cargo run --release --example batches -- devops.lp
//! ```

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};

use ringest::batch::arrow::array::Array;
use ringest::batch::{Batch, Options};

fn main() -> Result<(), Box<dyn Error>> {
    let input: Box<dyn Read> = match std::env::args_os().nth(1) {
        Some(path) => Box::new(File::open(path)?),
        None => Box::new(io::stdin()),
    };
    // Bad lines are told at the end; without this option the first of them would end the stream with an error.
    let mut reader = Options::new().skip_bad_lines().reader();
    let mut batches = reader.read(input);
    for batch in &mut batches {
        print(&batch?);
    }
    let report = batches.report();
    println!("{} points, {} bad lines, {} points dropped", report.points, report.bad_lines, report.dropped_points);
    report.rejected.iter().for_each(|rejected| println!("{rejected}"));
    Ok(())
}

fn print(batch: &Batch) {
    let records = &batch.records;
    println!("{}: {} rows, {} bytes", batch.measurement, records.num_rows(), records.get_array_memory_size());
    for (field, column) in records.schema().fields().iter().zip(records.columns()) {
        println!("  {}: {}, {} null", field.name(), field.data_type(), column.null_count());
    }
}
