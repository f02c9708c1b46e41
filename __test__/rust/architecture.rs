//! The architecture, checked on the source: which layer may import which,
//! `quota <- store <- metrics <- limiter <- engine <- driver <- napi`, where `unsafe` and the redis crate may be, and how long a file
//! may be.

mod control;

use std::fs;
use std::path::Path;

/// The longest file. Longer than this it is two concepts.
const MAX_LINES: usize = 500;

/// The layers, from the lowest: each may import those before it. The last may import all of them, and the napi crates.
const LAYERS: [&str; 8] = [
    "planted", "quota", "store", "metrics", "limiter", "engine", "driver", "napi",
];

/// Crates that only one folder may name.
const OWNED_CRATES: [(&str, &str); 3] = [
    ("napi", "src/napi/"),
    ("napi_derive", "src/napi/"),
    ("redis", "src/store/redis/"),
];

/// What the engine must not do: it is handed time and chance, and does no I/O.
const NOT_IN_ENGINE: [(&str, &str); 9] = [
    ("tokio", "names tokio"),
    ("std::thread", "names threads"),
    ("TcpStream", "has a socket"),
    ("Mutex", "has a lock"),
    ("RwLock", "has a lock"),
    ("Waker", "has a waker"),
    ("Instant::now", "reads a clock"),
    ("SystemTime::now", "reads a clock"),
    ("fastrand::f64", "takes chance from the process"),
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
    let folders: Vec<&str> = path.split('/').skip(1).collect();
    let layer = LAYERS.iter().position(|layer| folders[0] == *layer);
    if layer.is_none() && path != "src/lib.rs" {
        complain(1, "belongs to no layer".into());
    }
    // How many `super::` lead to the root: `mod.rs` is the module of its folder.
    let levels = folders.len() - usize::from(path.ends_with("/mod.rs"));
    let lines: Vec<&str> = text.lines().collect();
    let mut in_tests = false;
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
        let above = layer.map_or(&LAYERS[..0], |layer| &LAYERS[layer + 1..]);
        for other in above.iter().filter(|other| imports(&listed, other, levels)) {
            complain(number, format!("imports crate::{other}, a higher layer"));
        }
        for (name, owner) in OWNED_CRATES {
            if !path.starts_with(owner) && path != "src/lib.rs" && names_crate(code, name) {
                complain(number, format!("names the {name} crate outside {owner}"));
            }
        }
        if path.starts_with("src/quota/") && names(code, "tokio") {
            complain(number, "names tokio in src/quota/".into());
        }
        in_tests |= *line == "#[cfg(test)]";
        if path.starts_with("src/limiter/") && !in_tests && names(code, "tokio") {
            complain(number, "names tokio in src/limiter/".into());
        }
        if path.starts_with("src/engine/") && !in_tests {
            let offences = NOT_IN_ENGINE.iter();
            for (_, what) in offences.filter(|(text, _)| code.contains(text)) {
                complain(number, format!("{what} in the engine"));
            }
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

/// Whether the code reaches the layer `other` from the root, in a path, in a list behind `crate::`, or by as many `super::` as
/// lead there (more of them in a module inside the file).
fn imports(code: &str, other: &str, levels: usize) -> bool {
    let from_root = |at| {
        let before: &str = &code[..at];
        let to_root = "super::".repeat(levels);
        let list = format!("{to_root}{{");
        before.ends_with("crate::")
            || before.ends_with(&to_root)
            || before.contains("crate::{")
            || before.contains(&list)
    };
    positions(code, other).any(from_root)
}

/// Whether the code names the crate, and not a module of ours with its name, such as `store::redis`.
fn names_crate(code: &str, name: &str) -> bool {
    positions(code, name).any(|at| {
        let (before, after) = (code[..at].trim_end(), &code[at + name.len()..]);
        let imported = before.ends_with("use") || before.ends_with("extern crate");
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let of_ours = before
            .strip_suffix("::")
            .is_some_and(|parent| parent.ends_with(part));
        let path = after.starts_with("::") || before.ends_with("::");
        imported || (path && !of_ours)
    })
}

/// Docs, comments, blank lines, lints and module declarations are all that a map has.
fn is_map(line: &str) -> bool {
    let line = line.trim();
    let module = line
        .strip_prefix("pub ")
        .unwrap_or(line)
        .strip_prefix("mod ");
    line.is_empty()
        || line.starts_with("//")
        || line.starts_with("#![deny(")
        || module.is_some_and(|m| m.ends_with(';'))
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
