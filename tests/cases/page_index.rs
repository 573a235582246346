//! `--page-index`, from the option to the files.

use std::fs::File;

use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::node::Node;

/// Whether the only file of a node with these options has a page index.
fn indexed(args: &[&str]) -> bool {
    let node = Node::start(args);
    node.must_write("d", "m,t=a f=1,g=\"x\" 1\nm,t=b f=2 2\n");
    node.flush();
    let lake = node.lake();
    assert_eq!((lake.files.len(), lake.files[0].rows.len()), (1, 2));
    let path = node.data_dir().join("lake").join(&lake.files[0].path);
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let group = reader.metadata().row_group(0);
    let places = group.columns().iter().filter(|chunk| chunk.offset_index_offset().is_some()).count();
    let bounds = group.columns().iter().filter(|chunk| chunk.column_index_offset().is_some()).count();
    assert!((places, bounds) == (0, 0) || (places, bounds) == (group.num_columns(), group.num_columns()));
    bounds > 0
}

#[test]
fn files_have_a_page_index_where_it_is_asked_for() {
    assert!(indexed(&["--page-index", "on"]));
    assert!(!indexed(&["--page-index", "off"]));
    assert!(!indexed(&[]), "it is off unless asked for");
}
