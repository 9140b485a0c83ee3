//! Reads Rust as far as paths need it: names, `::`, braces, and which module they are in.

use std::{iter::Peekable, str::Chars};

/// A line, and a name or a sign on it.
pub(crate) type Token = (usize, String);

/// Returns the first name below the crate root of every path that leaves its module.
pub(crate) fn imports(tokens: &[Token], file: &[String]) -> Vec<(usize, String)> {
    let (mut module, mut inner, mut depth) = (file.to_vec(), Vec::new(), 0);
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some((_, token)) = tokens.get(at) {
        let opens = tokens.get(at + 2).is_some_and(|(_, next)| next == "{");
        match token.as_str() {
            "mod" if opens => {
                module.push(tokens[at + 1].1.clone());
                inner.push(depth);
                at += 1;
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if inner.pop_if(|outer| *outer == depth).is_some() {
                    module.pop();
                }
            }
            "crate" | "super" | "self" if starts_path(tokens, at) => {
                let mut paths = Vec::new();
                at = expand(tokens, at, Vec::new(), &mut paths);
                found.extend(
                    paths
                        .iter()
                        .map(|(line, path)| (*line, target(path, &module))),
                );
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Tells a path from a receiver, a visibility, and the middle of another path.
fn starts_path(tokens: &[Token], at: usize) -> bool {
    let is = |at: usize, text| tokens.get(at).is_some_and(|(_, token)| token == text);
    let inside = at > 0 && is(at - 1, "::");
    let renamed = is(at, "crate") && is(at + 1, "as");
    !inside && (is(at + 1, "::") || renamed)
}

/// Unfolds a path and its groups, and returns where the next token is.
fn expand(
    tokens: &[Token],
    mut at: usize,
    mut path: Vec<String>,
    paths: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let token = |at: usize| tokens.get(at).map_or("", |(_, token)| token.as_str());
    let mut line = tokens[at].0;
    loop {
        if token(at) == "{" {
            at += 1;
            while !matches!(token(at), "}" | "") {
                at = match token(at) {
                    "," => at + 1,
                    "as" => at + 2,
                    _ => expand(tokens, at, path.clone(), paths).max(at + 1),
                };
            }
            return at + 1;
        }
        if is_name(token(at)) || token(at) == "*" {
            path.push(token(at).to_owned());
            line = tokens[at].0;
            at += 1;
            if token(at) == "::" {
                at += 1;
                continue;
            }
        }
        paths.push((line, path));
        return at;
    }
}

/// Resolves a path seen in a module, and returns its room.
fn target(path: &[String], module: &[String]) -> String {
    let mut base = module.to_vec();
    let mut rest = path.iter();
    for name in rest.by_ref() {
        match name.as_str() {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            "self" if !base.is_empty() => {}
            _ => {
                base.push(name.clone());
                break;
            }
        }
    }
    base.into_iter()
        .next()
        .unwrap_or_else(|| "crate".to_owned())
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Cuts a source text into names and signs.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let (mut line, mut glue) = (1, false);
    for c in code(text).chars() {
        let word = c.is_alphanumeric() || c == '_';
        match tokens.last_mut() {
            Some((_, last)) if glue && word && !last.ends_with(':') => last.push(c),
            Some((_, last)) if glue && c == ':' && last == ":" => last.push(c),
            _ if !c.is_whitespace() => tokens.push((line, c.to_string())),
            _ => {}
        }
        glue = word || c == ':';
        line += usize::from(c == '\n');
    }
    tokens
}

/// Returns the text without comments, strings and characters; its lines stay.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        let skipped = match c {
            '/' if next == Some('/') => until_line_end(&mut rest),
            '/' if next == Some('*') => comment(&mut rest),
            '"' => string(&mut rest),
            '\'' => character(&mut rest),
            'r' if matches!(next, Some('"' | '#')) => raw_string(&mut rest),
            _ => {
                code.push(c);
                continue;
            }
        };
        code.push(' ');
        code.extend(std::iter::repeat_n('\n', skipped));
    }
    code
}

type Rest<'a> = Peekable<Chars<'a>>;

fn until_line_end(rest: &mut Rest<'_>) -> usize {
    while rest.next_if(|c| *c != '\n').is_some() {}
    0
}

fn comment(rest: &mut Rest<'_>) -> usize {
    let (mut depth, mut lines, mut last) = (0_usize, 0, '/');
    for c in rest.by_ref() {
        lines += usize::from(c == '\n');
        last = match (last, c) {
            ('/', '*') => {
                depth += 1;
                ' '
            }
            ('*', '/') => {
                depth -= 1;
                ' '
            }
            _ => c,
        };
        if depth == 0 {
            break;
        }
    }
    lines
}

fn string(rest: &mut Rest<'_>) -> usize {
    let mut lines = 0;
    while let Some(c) = rest.next() {
        let escaped = if c == '\\' { rest.next() } else { None };
        lines += usize::from(c == '\n' || escaped == Some('\n'));
        if c == '"' {
            break;
        }
    }
    lines
}

/// Skips a character literal; of a lifetime only the tick.
fn character(rest: &mut Rest<'_>) -> usize {
    let mut ahead = rest.clone();
    let first = ahead.next();
    if first == Some('\\') {
        rest.nth(1);
        while rest.next().is_some_and(|c| c != '\'') {}
    } else if ahead.next() == Some('\'') {
        rest.nth(1);
    }
    0
}

/// Skips a raw string; of a raw identifier nothing.
fn raw_string(rest: &mut Rest<'_>) -> usize {
    let hashes = rest.clone().take_while(|c| *c == '#').count();
    if rest.clone().nth(hashes) != Some('"') {
        return 0;
    }
    rest.nth(hashes);
    let mut lines = 0;
    while let Some(c) = rest.next() {
        lines += usize::from(c == '\n');
        if c == '"' && rest.clone().take(hashes).filter(|c| *c == '#').count() == hashes {
            break;
        }
    }
    for _ in 0..hashes {
        rest.next();
    }
    lines
}
