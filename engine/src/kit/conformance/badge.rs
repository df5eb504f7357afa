//! The badge: a small picture that says how many checks passed. Static text, drawn here; nothing is fetched.

use std::fmt::Write as _;

/// SVG of two fields side by side: what was tested, and how it went.
pub fn badge(passed: usize, failed: usize) -> String {
    let (right, colour) = match (passed, failed) {
        // Every check was skipped: that is no success.
        (0, 0) => ("nothing tested".to_owned(), "#c62828"),
        (_, 0) => (format!("{passed} checks passed"), "#2e7d32"),
        _ => (format!("{failed} of {} failed", passed + failed), "#c62828"),
    };
    let left = "trueup conformance";
    // Of the usual sans-serif faces at 11 pixels a letter is about 6.6 wide; `textLength` makes it fit exactly.
    let width = |text: &str| text.chars().count() * 66 / 10 + 12;
    let (one, two) = (width(left), width(&right));
    let all = one + two;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all}\" height=\"20\" role=\"img\" aria-label=\"{left}: {right}\">\n\
         <title>{left}: {right}</title>\n\
         <rect width=\"{all}\" height=\"20\" rx=\"3\" fill=\"#37474f\"/>\n\
         <path d=\"M{one} 0h{rest}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{rest}z\" fill=\"{colour}\"/>\n\
         <g fill=\"#fff\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">\n",
        rest = two - 3
    );
    for (x, text, room) in [(6, left, one - 12), (one + 6, right.as_str(), two - 12)] {
        let _ = writeln!(out, "<text x=\"{x}\" y=\"14\" textLength=\"{room}\">{text}</text>");
    }
    out.push_str("</g>\n</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_says_how_many_passed_or_failed() {
        let good = badge(27, 0);
        assert!(good.starts_with("<svg ") && good.contains(">27 checks passed</text>") && good.contains("#2e7d32"), "{good}");
        assert!(badge(0, 0).contains(">nothing tested</text>") && badge(0, 0).contains("#c62828"));
        let bad = badge(20, 7);
        assert!(bad.contains("aria-label=\"trueup conformance: 7 of 27 failed\"") && bad.contains("#c62828"), "{bad}");
    }
}
