//! Questions, for people at a terminal only.

use std::io::BufRead as _;

use crate::output::Output;
use crate::output::clean::clean;

/// Asks and takes `y` or `yes` for yes; anything else, the end of input included, is no. Nobody is asked where nobody is
/// there to answer.
pub fn confirm(output: &mut Output, question: &str) -> bool {
    answer(output, &format!("{question} [y/N] ")).is_some_and(|it| matches!(it.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Asks to type `word`: whether it was typed; none where nothing was.
pub fn confirm_by_name(output: &mut Output, question: &str, word: &str) -> Option<bool> {
    let typed = answer(output, &format!("{question} Type {} to go on: ", clean(word)))?;
    (!typed.is_empty()).then(|| typed == word)
}

/// One line from the terminal, without the spaces around it.
fn answer(output: &mut Output, question: &str) -> Option<String> {
    if !output.interactive {
        return None;
    }
    output.error(question);
    let mut line = String::new();
    let mut input = std::io::Read::take(std::io::stdin().lock(), 4096);
    let read = input.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::capture;

    #[test]
    fn nobody_at_the_terminal_means_no_and_is_not_asked() {
        let (mut output, out, err) = capture::output();
        assert!(!confirm(&mut output, "Apply?"));
        assert_eq!(confirm_by_name(&mut output, "Destroy everything.", "prod"), None);
        assert_eq!((out.text(), err.text()), (String::new(), String::new()));
    }
}
