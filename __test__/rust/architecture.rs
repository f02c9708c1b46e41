//! The architecture, checked on the source: which layer may import which, `quota <- store <- metrics <- limiter <- napi`, where
//! `unsafe` and the redis crate may be, and how long a file may be.

mod control;

use std::fs;
use std::path::Path;

/// The longest file. Longer than this it is two concepts.
const MAX_LINES: usize = 500;

/// What each layer must not import: its folder, crates, other layers.
const LAYERS: [(&str, &[&str], &[&str]); 4] = [
    (
        "src/quota/",
        &["napi", "napi_derive", "redis", "tokio"],
        &["store", "metrics", "limiter", "napi"],
    ),
    (
        "src/store/",
        &["napi", "napi_derive"],
        &["metrics", "limiter", "napi"],
    ),
    (
        "src/metrics/",
        &["napi", "napi_derive"],
        &["limiter", "napi"],
    ),
    ("src/limiter/", &["napi", "napi_derive"], &["napi"]),
];

/// What is wrong in the file `path`, each as `path:line: complaint`.
fn complaints(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut complain = |line: usize, what: String| found.push(format!("{path}:{line}: {what}"));
    if text.lines().count() > MAX_LINES {
        complain(MAX_LINES + 1, format!("is longer than {MAX_LINES} lines"));
    }
    if !path.ends_with(".rs") {
        return found;
    }
    let lines: Vec<&str> = text.lines().collect();
    // How deep the line is in a `use crate::{` list that goes over several.
    let mut depth = 0;
    for (i, line) in lines.iter().enumerate() {
        let number = i + 1;
        let code = code(line);
        let listed = format!("{}{code}", if depth > 0 { "crate::{" } else { "" });
        if listed.contains("crate::{") {
            depth += code.matches('{').count();
            depth = depth.saturating_sub(code.matches('}').count());
        }
        for (layer, crates, layers) in LAYERS {
            if !path.starts_with(layer) {
                continue;
            }
            for name in crates.iter().filter(|name| names(code, name)) {
                complain(number, format!("{layer} names {name}"));
            }
            for other in layers.iter().filter(|other| imports(&listed, other)) {
                complain(number, format!("{layer} imports crate::{other}"));
            }
        }
        if !path.starts_with("src/store/redis/") && names_redis_crate(code) {
            complain(
                number,
                "names the redis crate outside src/store/redis".into(),
            );
        }
        if path == "src/lib.rs" && !is_map(line) {
            complain(number, "lib.rs is more than a map".into());
        }
        if names(code, "unsafe") {
            if !path.starts_with("src/napi/") {
                complain(number, "is unsafe outside src/napi".into());
            }
            if !says_why_it_is_safe(&lines[..=i]) {
                complain(number, "has no // SAFETY: above it".into());
            }
        }
    }
    found
}

/// The line without its comment. A `//` inside a URL is none.
fn code(line: &str) -> &str {
    let comment = line
        .match_indices("//")
        .find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// Where `word` stands in `code` as a whole identifier.
fn positions<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let (before, after) = (&code[..*at], &code[at + word.len()..]);
            !before.ends_with(part) && !after.starts_with(part)
        })
}

fn names(code: &str, word: &str) -> bool {
    positions(code, word).next().is_some()
}

/// Whether the code reaches the layer `other` from the root, in a path or in a list behind `crate::`.
fn imports(code: &str, other: &str) -> bool {
    let from_root = |at| {
        let before = &code[..at];
        before.ends_with("crate::")
            || before.ends_with("super::super::")
            || before.contains("crate::{")
    };
    positions(code, other).any(from_root)
}

/// Whether the code names the crate, which our own module `store::redis` is not.
fn names_redis_crate(code: &str) -> bool {
    positions(code, "redis").any(|at| {
        let (before, after) = (code[..at].trim_end(), &code[at + "redis".len()..]);
        let imported = before.ends_with("use") || before.ends_with("extern crate");
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let of_ours = before
            .strip_suffix("::")
            .is_some_and(|parent| parent.ends_with(part));
        let path = after.starts_with("::") || before.ends_with("::");
        imported || (path && !of_ours)
    })
}

/// Docs, blank lines and module declarations are all that a map has.
fn is_map(line: &str) -> bool {
    let line = line.trim();
    let module = line
        .strip_prefix("pub ")
        .unwrap_or(line)
        .strip_prefix("mod ");
    line.is_empty() || line.starts_with("//!") || module.is_some_and(|m| m.ends_with(';'))
}

/// Whether the last line, or the comment right above it, gives the reason.
fn says_why_it_is_safe(lines: &[&str]) -> bool {
    let (last, above) = lines.split_last().unwrap();
    let mut comment = above
        .iter()
        .rev()
        .take_while(|line| line.trim().starts_with("//"));
    last.contains("// SAFETY:") || comment.any(|line| line.contains("// SAFETY:"))
}

/// Every file under `folder`, as a path from the root of the repository with its text.
fn files(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path));
        } else {
            let text = fs::read_to_string(entry.path()).unwrap();
            found.push((path, text));
        }
    }
    found
}

#[test]
fn the_source_keeps_to_its_layers() {
    let files = files("src");
    for layer in [
        "quota",
        "store",
        "store/redis",
        "metrics",
        "limiter",
        "napi",
    ] {
        let path = format!("src/{layer}/mod.rs");
        assert!(files.iter().any(|(p, _)| *p == path), "{path} is gone");
    }
    let all: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| complaints(path, text))
        .collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}
