//! `$GENERATE range owner [ttl] [class] type rdata`, as BIND has it: one record for each number of a range.

use super::{MAX_RECORDS, Parser, Wrong, wrong};
use crate::lex::{self, Word};
use crate::name::shorten;
use crate::rdata::field::print_display;

/// Longest text that one `$` may become.
const MAX_WIDTH: usize = 255;

/// `start-stop[/step]`, both ends included.
#[derive(Clone, Copy)]
struct Range {
    start: i64,
    stop: i64,
    step: i64,
}

/// Adds the records of one directive.
pub(super) fn run(parser: &mut Parser<'_>, at: usize, words: &[Word<'_>]) -> Result<(), Wrong> {
    let [range, owner, rest @ ..] = words else {
        return wrong(at, "$GENERATE takes a range, an owner, a type and rdata, such as `$GENERATE 1-9 host$ A 192.0.2.$`");
    };
    let Some(range) = parse_range(range.text) else {
        return wrong(
            range.at,
            format!("`{}` is no range: write start-stop or start-stop/step, from 0 to 2147483647", shorten(range.text)),
        );
    };
    let count = usize::try_from((range.stop - range.start) / range.step + 1).unwrap_or(usize::MAX);
    if count > MAX_RECORDS.saturating_sub(parser.collector.records()) {
        return wrong(at, format!("the range has {count} numbers, which makes more than {MAX_RECORDS} records"));
    }
    let (head, templates) = parser.head(at, rest)?;
    let template = template(templates);
    let (mut name, mut text) = (String::new(), String::new());
    let mut number = range.start;
    while number <= range.stop {
        substitute(owner.text, number, &mut name).or_else(|message| wrong(owner.at, message))?;
        substitute(&template, number, &mut text).or_else(|message| wrong(at, message))?;
        let mut values = Vec::with_capacity(8);
        lex::words(&text, &mut values).or_else(|error| wrong(at, format!("{}: `{}`", error.message, shorten(&text))))?;
        // Offsets in the text that was made up mean nothing in the file.
        values.iter_mut().for_each(|it| it.at = at);
        parser.set_owner(&Word { text: &name, quoted: owner.quoted, at: owner.at })?;
        parser.record(head, &values, at)?;
        number += range.step;
    }
    Ok(())
}

/// The rdata as one text. Where it is one word in quotes, they only hold it together: what is in them is the rdata.
fn template(words: &[Word<'_>]) -> String {
    if let [word] = words
        && word.quoted
    {
        return word.text.replace("\\\"", "\"");
    }
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        let quote = if word.quoted { "\"" } else { "" };
        print_display(format_args!("{quote}{}{quote}", word.text), &mut text);
    }
    text
}

fn parse_range(text: &str) -> Option<Range> {
    let number = |text: &str| text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
    let (span, step) = text.split_once('/').map_or((text, Some(1)), |(span, step)| (span, number(step)));
    let (start, stop) = span.split_once('-')?;
    let (start, stop, step) = (number(start)?, number(stop)?, step?);
    let good = start <= stop && stop <= 0x7fff_ffff && step > 0;
    good.then_some(Range { start: start.into(), stop: stop.into(), step: step.into() })
}

/// Writes `template` into `out` with each `$` and `${offset,width,base}` replaced; `\$` and `$$` are a plain `$`.
fn substitute(template: &str, number: i64, out: &mut String) -> Result<(), String> {
    out.clear();
    let mut rest = template;
    while let Some(at) = rest.find(['$', '\\']) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        rest = if let Some(after) = tail.strip_prefix("\\$").or_else(|| tail.strip_prefix("$$")) {
            out.push('$');
            after
        } else if let Some(after) = tail.strip_prefix('\\') {
            // Any other escape belongs to the record.
            let length = after.chars().next().map_or(0, char::len_utf8);
            out.push_str(tail.get(..=length).unwrap_or(tail));
            after.get(length..).unwrap_or_default()
        } else if let Some(after) = tail.strip_prefix("${") {
            let (modifier, after) = after.split_once('}').ok_or("`${` has no closing brace")?;
            write_modified(modifier, number, out)?;
            after
        } else {
            print_display(number, out);
            tail.get(1..).unwrap_or_default()
        };
    }
    out.push_str(rest);
    Ok(())
}

/// `offset[,width[,base]]`; the base is `d`, `o`, `x`, `X`, or `n`, `N` for nibbles of a reverse name.
fn write_modified(modifier: &str, number: i64, out: &mut String) -> Result<(), String> {
    let wrong = || format!("`${{{}}}` is no modifier: write ${{offset,width,base}}, such as ${{0,3,d}}", shorten(modifier));
    let mut parts = modifier.split(',').map(str::trim);
    let offset = parts.next().and_then(|it| it.parse::<i32>().ok()).ok_or_else(wrong)?;
    let width = parts.next().map_or(Some(0), |it| it.parse::<usize>().ok()).filter(|it| *it <= MAX_WIDTH).ok_or_else(wrong)?;
    let base = parts.next().unwrap_or("d");
    if parts.next().is_some() {
        return Err(wrong());
    }
    let value = number + i64::from(offset);
    if value < 0 {
        return Err(format!("`${{{modifier}}}` makes {value} of {number}: a number below 0"));
    }
    match base {
        "d" => print_display(format_args!("{value:0width$}"), out),
        "o" => print_display(format_args!("{value:0width$o}"), out),
        "x" => print_display(format_args!("{value:0width$x}"), out),
        "X" => print_display(format_args!("{value:0width$X}"), out),
        "n" | "N" => write_nibbles(value, width, base == "N", out),
        _ => return Err(wrong()),
    }
    Ok(())
}

/// Hex digits from the last to the first with dots between them; the width counts the dots.
fn write_nibbles(mut value: i64, width: usize, upper: bool, out: &mut String) {
    let mut length = 0;
    loop {
        let digit = value & 15;
        if upper {
            print_display(format_args!("{digit:X}"), out)
        } else {
            print_display(format_args!("{digit:x}"), out)
        }
        length += 1;
        value >>= 4;
        if value == 0 && length >= width {
            return;
        }
        out.push('.');
        length += 1;
        if value == 0 && length >= width {
            return;
        }
    }
}
