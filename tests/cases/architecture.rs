//! Who may import whom, and where what is dangerous may stand: rules over the source text of `src/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Module to modules that it may name. An arrow that is not here is forbidden.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["config", "server", "tools", "net", "budget"]),
    (
        "server",
        &["net", "http", "write", "auth", "catalog", "table", "wal", "lake", "data_dir", "config", "metrics", "budget"],
    ),
    ("write", &["http", "auth", "decode", "line", "catalog", "table", "wal", "config", "metrics", "budget"]),
    ("batch", &["line", "decode", "catalog", "table", "budget"]),
    ("lake", &["table", "catalog", "config", "metrics", "budget"]),
    ("tools", &["auth", "line", "catalog", "table", "lake", "wal", "data_dir", "config", "metrics", "budget"]),
    ("table", &["line", "catalog", "budget"]),
    // For the padding that every body carries.
    ("decode", &["line"]),
    ("net", &["budget"]),
    ("wal", &["budget", "metrics"]),
    ("metrics", &["budget"]),
    ("http", &[]),
    ("auth", &[]),
    ("line", &[]),
    ("catalog", &["budget"]),
    ("config", &[]),
    ("data_dir", &[]),
    ("budget", &[]),
];

/// Something that only some places may name: files or, with a `/` at the end, folders below `src/`.
const PLACES: &[(&str, &[&str])] = &[
    ("tokio_uring", &["net/"]),
    ("socket2", &["net/"]),
    ("io_uring", &[]),
    ("httparse", &["http/", "tools/load/"]),
    ("mio", &["tools/load/"]),
    ("libdeflate_sys", &["decode.rs"]),
    ("libdeflater", &["decode.rs", "tools/load/"]),
    ("libmimalloc_sys", &["budget.rs"]),
    ("simdutf8", &["line/"]),
    ("arrow", &["lake/", "table/arrays.rs", "batch/", "tools/lake/"]),
    ("parquet", &["lake/", "tools/lake/"]),
    ("zstd", &["lake/"]),
    ("flate2", &["tools/convert/"]),
    ("indicatif", &["cli/"]),
    ("signal_hook", &["server/"]),
    ("clap", &["cli.rs", "cli/"]),
    ("rustls", &["net/"]),
    ("x509_parser", &["net/"]),
    ("subtle", &["auth/"]),
    ("base64", &["auth/", "write/auth.rs"]),
];

const AWAIT_PLACES: &[&str] = &["net/", "server/"];
const UNSAFE_PLACES: &[&str] = &["net/pool.rs", "line/", "decode.rs", "budget.rs", "table/prefetch.rs"];
const ENVIRONMENT_PLACES: &[&str] = &["config.rs"];
const ARGUMENT_PLACES: &[&str] = &["cli.rs"];
const LINES_MAX: usize = 650;

struct Source {
    /// Below `src/`, with `/`.
    path: String,
    /// Without comments, strings and characters.
    code: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.len() > 40, "{files:?}");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        Source { path: path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), code: code_of(&text), text }
    };
    files.into_iter().map(read).collect()
}

impl Source {
    /// The module of `lib.rs` (or `main`) that the file belongs to.
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || place.ends_with('/') && self.path.starts_with(place))
    }
}

/// `text` with everything blanked that is not code; line ends stay.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(&text[..at], rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            rest[open..].find(&end).map_or(rest.len(), |found| open + found + end.len())
        } else if rest.starts_with('"') {
            string_len(rest)
        } else {
            character_len(rest)
        };
        if skipped == 0 {
            let character = rest.chars().next().unwrap();
            code.push(character);
            at += character.len_utf8();
        } else {
            code.extend(rest[..skipped].chars().map(|skipped| if skipped == '\n' { '\n' } else { ' ' }));
            at += skipped;
        }
    }
    code
}

/// The number of `#` if a raw string begins here.
fn raw_string(before: &str, rest: &str) -> Option<usize> {
    let before_name = !before.ends_with(|last: char| last.is_alphanumeric() && last != 'b' || last == '_');
    let hashes = rest.strip_prefix('r')?.bytes().take_while(|byte| *byte == b'#').count();
    (before_name && rest[1 + hashes..].starts_with('"')).then_some(hashes)
}

fn string_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The length of the character literal that begins here; 0 if none does (a lifetime, for one).
fn character_len(rest: &str) -> usize {
    let Some(inside) = rest.strip_prefix('\'') else { return 0 };
    let mut characters = inside.char_indices();
    match characters.next() {
        Some((_, '\\')) => inside[2..].find('\'').map_or(0, |end| end + 4),
        Some(_) => match characters.next() {
            Some((end, '\'')) => end + 2,
            _ => 0,
        },
        None => 0,
    }
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where `name` stands as a name of its own: what is before and after each place.
fn places<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    code.match_indices(name)
        .map(move |(at, _)| (&code[..at], &code[at + name.len()..]))
        .filter(|(before, after)| !before.ends_with(is_name) && !after.starts_with(is_name))
}

/// The modules that `code` names through `root::`.
fn named_modules(code: &str, root: &str) -> BTreeSet<String> {
    let first_name =
        |path: &str| path.trim_start().chars().take_while(|character| is_name(*character)).collect::<String>();
    let mut modules = BTreeSet::new();
    for (_, after) in places(code, root) {
        let Some(path) = after.trim_start().strip_prefix("::") else { continue };
        match path.trim_start().strip_prefix('{') {
            None => drop(modules.insert(first_name(path))),
            Some(group) => {
                let mut depth = 0;
                let mut item = true;
                for (at, character) in group.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => item = true,
                        _ if item && is_name(character) => {
                            modules.insert(first_name(&group[at..]));
                            item = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    modules
}

fn arrows() -> BTreeMap<&'static str, &'static [&'static str]> {
    ARROWS.iter().copied().collect()
}

/// Imports of `source` that no arrow allows.
fn forbidden_imports(source: &Source) -> Vec<String> {
    let root = if source.module() == "main" { "ringest" } else { "crate" };
    let allowed = arrows()[source.module()];
    let foreign = |module: &String| module != source.module() && !allowed.contains(&&**module);
    named_modules(&source.code, root).into_iter().filter(foreign).collect()
}

/// The most `super` in one path, and how many lead no further than to the top of the file's own module.
fn supers(source: &Source) -> (usize, usize) {
    let file = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
    let own = file.split('/').count() - 1;
    // Indented code may stand in a module of the file.
    let used = |line: &str| {
        let longest = line.matches("super::").count().min(if line.contains("super::super::") { 9 } else { 1 });
        longest.saturating_sub(usize::from(line.starts_with(' ')))
    };
    (source.code.lines().map(used).max().unwrap_or(0), own)
}

#[test]
fn modules_import_only_what_their_arrows_allow() {
    let sources = sources();
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.path != "lib.rs") {
        wrong.extend(forbidden_imports(source).into_iter().map(|module| format!("{} names {module}", source.path)));
        let (used, own) = supers(source);
        if used > own {
            wrong.push(format!("{} leaves its module through super", source.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_its_arrows() {
    let modules: BTreeSet<String> = sources().iter().map(|source| source.module().to_owned()).collect();
    let known: BTreeSet<String> =
        arrows().keys().map(|module| (*module).to_owned()).chain(["lib".to_owned()]).collect();
    assert_eq!(modules, known);
}

#[test]
fn no_module_imports_itself_through_others() {
    let arrows = arrows();
    for module in arrows.keys() {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = arrows[module].to_vec();
        while let Some(next) = open.pop() {
            assert_ne!(next, *module, "{module} is in a circle");
            if reached.insert(next) {
                open.extend(arrows[next]);
            }
        }
    }
}

#[test]
fn crates_are_named_only_in_their_places() {
    for source in sources() {
        for (name, allowed) in PLACES {
            let used = places(&source.code, name).any(|(before, after)| {
                after.trim_start().starts_with("::") && !before.ends_with("::") || before.ends_with("use ")
            });
            assert!(!used || source.is_in(allowed), "{} names {name}, which only {allowed:?} may", source.path);
        }
    }
}

#[test]
fn waiting_unsafety_and_the_environment_stay_in_their_places() {
    for source in sources() {
        let path = &source.path;
        let has = |name: &str| places(&source.code, name).next().is_some();
        let awaits = has("async") || places(&source.code, "await").any(|(before, _)| before.ends_with('.'));
        assert!(!awaits || source.is_in(AWAIT_PLACES), "{path} waits");
        assert!(!has("unsafe") || source.is_in(UNSAFE_PLACES), "{path} has unsafe code");
        let environment: Vec<String> = places(&source.code, "env")
            .filter_map(|(_, after)| after.strip_prefix("::"))
            .map(|after| after.chars().take_while(|c| is_name(*c)).collect())
            .collect();
        for name in environment {
            let allowed = if name.starts_with("args") { ARGUMENT_PLACES } else { ENVIRONMENT_PLACES };
            assert!(source.is_in(allowed), "{path} reads env::{name}");
        }
    }
}

#[test]
fn unsafe_blocks_say_why_they_are_safe() {
    for source in sources().iter().filter(|source| source.is_in(UNSAFE_PLACES)) {
        let blocks = places(&source.code, "unsafe").filter(|(_, after)| after.trim_start().starts_with('{')).count();
        let notes = source.text.matches("SAFETY:").count();
        assert!(blocks == 0 || notes > 0, "{}: {blocks} unsafe blocks without a SAFETY note", source.path);
    }
}

#[test]
fn files_stay_readable() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines; at most {LINES_MAX} are kept", source.path);
        for marker in ["TODO", "FIXME", "todo!(", "unimplemented!("] {
            assert!(!source.text.contains(marker), "{} has a {marker}", source.path);
        }
        let name = source.path.rsplit('/').next().unwrap();
        assert!(!["util.rs", "utils.rs", "common.rs", "helpers.rs", "misc.rs"].contains(&name), "{}", source.path);
    }
}

/// The rules above find what they are there for.
#[test]
fn a_forbidden_import_is_found() {
    let source = |path: &str, text: &str| Source { path: path.into(), code: code_of(text), text: text.into() };
    let found = |text: &str| forbidden_imports(&source("catalog/store.rs", text));
    assert_eq!(found("use crate::lake::Lake;"), ["lake"]);
    assert_eq!(found("fn f() { crate::write::VERSION_HEADER }"), ["write"]);
    assert_eq!(
        found("use crate::{\n    catalog::Table,\n    line::{Kernel, net},\n    server,\n};"),
        ["line", "server"]
    );
    assert!(found("// use crate::lake::Lake;\n/* crate::net */ const A: &str = \"crate::net\";").is_empty());
    assert!(found("const B: char = '\"'; const C: &str = r#\"\"crate::net\"#; fn f<'a>(a: &'a u8) {}").is_empty());
    assert_eq!(found("const Q: u8 = b'\"'; use crate::http::Head; const R: u8 = b'\\'';"), ["http"]);
    assert_eq!(found("fn f<'a>(a: &'a str) { crate::http::g('a', \"\\\"\") } // '"), ["http"]);
    assert_eq!(supers(&source("lake/mod.rs", "use super::http;")), (1, 0));
    assert_eq!(supers(&source("lake/sort.rs", "use super::Part;\n    use super::super::Part;")), (1, 1));
    assert_eq!(places("my_unsafe unsafe_fn unsafe {", "unsafe").count(), 1);
}
