//! Rust code as words: names, `::` and single signs; without comments, texts and what is built for tests only.

/// The words of some code.
pub(super) fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(sign) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_text(rest) {
            length
        } else if sign == '"' {
            text(rest)
        } else if sign == '\'' {
            sign_or_lifetime(rest)
        } else if is_of_name(sign) {
            let length = rest.find(|sign| !is_of_name(sign)).unwrap_or(rest.len());
            found.push(&rest[..length]);
            length
        } else {
            let length = if rest.starts_with("::") { 2 } else { sign.len_utf8() };
            if !sign.is_whitespace() {
                found.push(&rest[..length]);
            }
            length
        };
        rest = &rest[length..];
    }
    without_tests(found)
}

fn is_of_name(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

/// The length of `r"..."` or `r#"..."#` that the code begins with.
fn raw_text(code: &str) -> Option<usize> {
    let begin = code.strip_prefix("br").or_else(|| code.strip_prefix('r'))?;
    let hashes = begin.len() - begin.trim_start_matches('#').len();
    begin[hashes..].starts_with('"').then_some(())?;
    let end = format!("\"{}", &begin[..hashes]);
    let body = code.len() - begin.len() + hashes + 1;
    Some(code[body..].find(&end).map_or(code.len(), |at| body + at + end.len()))
}

fn text(code: &str) -> usize {
    let mut escaped = false;
    let end = code.char_indices().skip(1).find(|(_, sign)| {
        let ends = *sign == '"' && !escaped;
        escaped = *sign == '\\' && !escaped;
        ends
    });
    end.map_or(code.len(), |(at, _)| at + 1)
}

/// `'x'`, `'\n'`, or the mark before a lifetime's name.
fn sign_or_lifetime(code: &str) -> usize {
    let mut signs = code.char_indices().skip(1);
    match (signs.next(), signs.next()) {
        (Some((_, '\\')), _) => code[3..].find('\'').map_or(code.len(), |at| at + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// Leaves out every item that begins with `#[cfg(test)]`.
fn without_tests(all: Vec<&str>) -> Vec<&str> {
    let mut kept = Vec::with_capacity(all.len());
    let mut rest = &all[..];
    while let Some((first, more)) = rest.split_first() {
        if rest.starts_with(&["#", "[", "cfg", "(", "test", ")", "]"]) {
            rest = &rest[7 + item(&rest[7..])..];
        } else {
            kept.push(*first);
            rest = more;
        }
    }
    kept
}

/// How many words the item has that the code begins with: to its `;` or its closing brace.
fn item(words: &[&str]) -> usize {
    let mut depth = 0_usize;
    let end = words.iter().position(|word| {
        match *word {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(*word, ";" | "}")
    });
    end.map_or(words.len(), |end| end + 1)
}

#[test]
fn texts_comments_and_tests_are_no_words() {
    let code = r##"
        use crate::a; // crate::b
        fn f<'x>() { let t = ("crate::\"c", r#"crate::d"#, 'e', '\'', b"f"); }
        #[cfg(test)]
        mod tests { use crate::g; }
        mod h;
    "##;
    let words = tokens(code).join(" ");
    assert_eq!(words, "use crate :: a ; fn f < x > ( ) { let t = ( , , , , b ) ; } mod h ;");
}
