//! Names as `serde` writes them.

/// A rule of `#[serde(rename_all = "…")]`, by its own name.
///
/// # Errors
/// With the rules there are, where `rule` is none of them.
pub fn rename(rule: &str, name: &str) -> Result<String, String> {
    let words = words(name);
    let lower = || words.iter().map(|it| it.to_lowercase());
    let capital = |word: String| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    Ok(match rule {
        "lowercase" => lower().collect(),
        "UPPERCASE" => lower().collect::<String>().to_uppercase(),
        "PascalCase" => lower().map(capital).collect(),
        "camelCase" => lower().enumerate().map(|(index, word)| if index == 0 { word } else { capital(word) }).collect(),
        "snake_case" => lower().collect::<Vec<_>>().join("_"),
        "SCREAMING_SNAKE_CASE" => lower().collect::<Vec<_>>().join("_").to_uppercase(),
        "kebab-case" => lower().collect::<Vec<_>>().join("-"),
        "SCREAMING-KEBAB-CASE" => lower().collect::<Vec<_>>().join("-").to_uppercase(),
        _ => return Err(format!("`{rule}` is no rule of serde's `rename_all`")),
    })
}

/// The words of `snake_case` or `PascalCase`. As for serde, a capital begins a word and a digit does not.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut begin = true;
    for char in name.trim_start_matches("r#").chars() {
        if char == '_' {
            begin = true;
            continue;
        }
        match words.last_mut().filter(|_| !begin && !char.is_uppercase()) {
            Some(word) => word.push(char),
            None => words.push(char.to_string()),
        }
        begin = false;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_serde_writes_them() {
        for (rule, field, variant) in [
            ("camelCase", "statusCode", "veryBig"),
            ("PascalCase", "StatusCode", "VeryBig"),
            ("kebab-case", "status-code", "very-big"),
            ("snake_case", "status_code", "very_big"),
            ("SCREAMING_SNAKE_CASE", "STATUS_CODE", "VERY_BIG"),
        ] {
            assert_eq!(rename(rule, "status_code").as_deref(), Ok(field));
            assert_eq!(rename(rule, "VeryBig").as_deref(), Ok(variant));
        }
        assert_eq!(rename("lowercase", "VeryBig").as_deref(), Ok("verybig"));
        assert_eq!(rename("camelCase", "r#type").as_deref(), Ok("type"));
        assert!(rename("Camel", "a").is_err());
    }
}
