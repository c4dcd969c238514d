//! The `options` of a URL, as libpq has them: settings, and what only a connection that begins can be given.

/// Splits the `options` of a URL into settings and what else there is, which only a beginning connection can have.
pub(crate) fn split(options: &str) -> (Vec<(String, String)>, String) {
    let (mut settings, mut others) = (Vec::new(), Vec::new());
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c") {
            Some("") => words.next(),
            Some(setting) => Some(setting.to_owned()),
            None => word.strip_prefix("--").map(str::to_owned),
        };
        match setting.as_deref().and_then(|setting| setting.split_once('=')) {
            // As the server reads them: a - in a name is a _.
            Some((name, value)) => settings.push((name.replace('-', "_"), value.to_owned())),
            None => others.push(setting.map_or(word.clone(), |setting| format!("{word} {setting}"))),
        }
    }
    (settings, others.join(" "))
}

/// Words with spaces between them; a backslash takes the next character as it is.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut signs) = (Vec::new(), String::new(), text.chars());
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => word.extend(signs.next()),
            sign if sign.is_ascii_whitespace() => words.push(std::mem::take(&mut word)),
            sign => word.push(sign),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_settings_however_they_are_written() {
        let (settings, others) =
            split(r"-c search_path=a,b -cwork_mem=1MB --lock-timeout=5 -c x.y=two\ words -e");
        let found: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let wanted =
            [("search_path", "a,b"), ("work_mem", "1MB"), ("lock_timeout", "5"), ("x.y", "two words")];
        assert_eq!((found.as_slice(), others.as_str()), (&wanted[..], "-e"));
    }
}
