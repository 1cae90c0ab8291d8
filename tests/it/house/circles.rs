//! No circle between modules that stand side by side, in any directory.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use super::source::{Source, sources};

/// Which module of a directory imports which of its neighbours.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The imports between neighbours, by directory. A name that a module re-exports counts as its child's.
fn imports(sources: &[Source]) -> BTreeMap<String, Imports> {
    let files: Vec<_> =
        sources.iter().map(|source| (source.root(), source.module(), source.imports())).collect();
    let mut modules = BTreeSet::new();
    let mut re_exports = BTreeMap::new();
    for (root, module, named) in &files {
        modules.extend((1..=module.len()).map(|length| (*root, &module[..length])));
        for path in named.iter().filter(|path| path.len() > module.len() + 1 && path.starts_with(module)) {
            re_exports.insert((*root, &module[..], path.last()), &path[module.len()]);
        }
    }
    let mut found: BTreeMap<String, Imports> = BTreeMap::new();
    for (root, module, named) in &files {
        for path in named {
            let shared = module.iter().zip(path).take_while(|(one, other)| one == other).count();
            let (Some(from), Some(name)) = (module.get(shared), path.get(shared)) else { continue };
            let to = match modules.contains(&(*root, &path[..=shared])) {
                true => Some(name),
                false => re_exports.get(&(*root, &path[..shared], Some(name))).copied(),
            };
            if let Some(to) = to.filter(|to| *to != from) {
                let above = path[..shared].iter().map(String::as_str);
                let directory = iter::once(*root).chain(above).collect::<Vec<_>>().join("/");
                found.entry(directory).or_default().entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    found
}

/// Whether `from` leads to `to`, over however many others.
fn leads_to(imports: &Imports, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        if next == to {
            return true;
        }
        if seen.insert(next) {
            open.extend(imports.get(next).into_iter().flatten().map(String::as_str));
        }
    }
    false
}

/// Every import that is part of a circle.
fn circles(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for (directory, imports) in imports(sources) {
        for (from, to) in imports.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
            if leads_to(&imports, to, from) {
                found.push(format!("{directory}: {from} imports {to}"));
            }
        }
    }
    found
}

#[test]
fn no_circle_between_neighbours() {
    let circles = circles(&sources());
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn a_circle_is_found_whatever_its_length_and_spelling() {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let files = [
        file("src/a/mod.rs", "mod one; mod two; mod three; pub use one::{Shown, hidden};"),
        file("src/a/one.rs", "use super::two::{\n    X,\n    y::Z,\n};\nuse crate::b::C;"),
        file("src/a/two/mod.rs", "fn f() { super::three::g() }"),
        file("src/a/two/inner.rs", "use super::X;\nuse std::fmt;"),
        file("src/a/three.rs", "use crate::a::Shown;"),
        file("src/b.rs", "use crate::a;\n#[cfg(test)]\nmod tests {\n    use crate::c::X;\n}"),
        file("src/c.rs", "use crate::b;"),
    ];
    let expected = [
        "src: a imports b",
        "src: b imports a",
        "src/a: one imports two",
        "src/a: three imports one",
        "src/a: two imports three",
    ];
    assert_eq!(circles(&files), expected);
}
