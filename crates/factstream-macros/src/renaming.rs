//! serde's `rename_all`: how a name is written in another style.

/// A style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Rule {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "lowercase" => Self::Lower,
            "UPPERCASE" => Self::Upper,
            "PascalCase" => Self::Pascal,
            "camelCase" => Self::Camel,
            "snake_case" => Self::Snake,
            "SCREAMING_SNAKE_CASE" => Self::ScreamingSnake,
            "kebab-case" => Self::Kebab,
            "SCREAMING-KEBAB-CASE" => Self::ScreamingKebab,
            _ => return None,
        })
    }

    /// A field's name, which is `snake_case` in the code.
    pub(crate) fn field(self, name: &str) -> String {
        match self {
            Self::Lower | Self::Snake => name.to_owned(),
            Self::Upper | Self::ScreamingSnake => name.to_ascii_uppercase(),
            Self::Pascal => pascal(name),
            Self::Camel => small_first(&pascal(name)),
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingKebab => name.to_ascii_uppercase().replace('_', "-"),
        }
    }

    /// A variant's name, which is `PascalCase` in the code.
    pub(crate) fn variant(self, name: &str) -> String {
        match self {
            Self::Lower => name.to_ascii_lowercase(),
            Self::Upper => name.to_ascii_uppercase(),
            Self::Pascal => name.to_owned(),
            Self::Camel => small_first(name),
            Self::Snake => snake(name),
            Self::ScreamingSnake => snake(name).to_ascii_uppercase(),
            Self::Kebab => snake(name).replace('_', "-"),
            Self::ScreamingKebab => snake(name).to_ascii_uppercase().replace('_', "-"),
        }
    }
}

fn pascal(name: &str) -> String {
    let mut capital = true;
    let mut pascal = String::new();
    for letter in name.chars() {
        match letter {
            '_' => capital = true,
            letter if std::mem::take(&mut capital) => pascal.push(letter.to_ascii_uppercase()),
            letter => pascal.push(letter),
        }
    }
    pascal
}

fn small_first(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_serde_does() {
        // Against serde itself: factstream-core/tests, where derived types are compared with the JSON that they write.
        let field = |rule: &str| Rule::named(rule).map(|rule| rule.field("order_id_2"));
        assert_eq!(field("camelCase").as_deref(), Some("orderId2"));
        assert_eq!(field("SCREAMING-KEBAB-CASE").as_deref(), Some("ORDER-ID-2"));
        let variant = |rule: &str| Rule::named(rule).map(|rule| rule.variant("OutOfStockXY"));
        assert_eq!(variant("snake_case").as_deref(), Some("out_of_stock_x_y"));
        assert_eq!(variant("lowercase").as_deref(), Some("outofstockxy"));
        assert_eq!(variant("camelCase").as_deref(), Some("outOfStockXY"));
    }
}
