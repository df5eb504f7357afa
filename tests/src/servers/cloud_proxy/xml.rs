//! As much of XML as answers of the cloud are made of: elements in elements, with their places in the text.

use std::ops::Range;

/// An element.
#[derive(Clone, Debug)]
pub struct Element {
    pub name: String,
    /// All of it, with its tags.
    pub whole: Range<usize>,
    /// What is between its tags.
    pub inner: Range<usize>,
    pub children: Vec<Element>,
}

impl Element {
    /// The root of this text; None where it is none, or has no end.
    pub fn parse(text: &str) -> Option<Self> {
        let mut open: Vec<Self> = Vec::new();
        let mut at = 0;
        loop {
            let start = at + text.get(at..)?.find('<')?;
            let rest = text.get(start..)?;
            if rest.starts_with("<!--") {
                at = start + rest.find("-->")? + 3;
                continue;
            }
            let end = start + rest.find('>')? + 1;
            let tag = text.get(start + 1..end - 1)?;
            at = end;
            if tag.starts_with(['?', '!']) {
                continue;
            }
            let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next()?.to_owned();
            let mut made = match tag.strip_prefix('/') {
                Some(_) => open.pop().filter(|it| it.name == name)?,
                None => Self { name, whole: start..end, inner: end..end, children: Vec::new() },
            };
            if tag.starts_with('/') {
                made.inner.end = start;
                made.whole.end = end;
            } else if !tag.ends_with('/') {
                open.push(made);
                continue;
            }
            match open.last_mut() {
                Some(parent) => parent.children.push(made),
                None => return Some(made),
            }
        }
    }

    pub fn text<'a>(&self, all: &'a str) -> &'a str {
        all.get(self.inner.clone()).unwrap_or_default().trim()
    }

    /// Calls `each` with every element that has none in it, and its parent.
    pub fn leaves<'a>(&'a self, parent: Option<&'a Self>, each: &mut impl FnMut(Option<&'a Self>, &'a Self)) {
        if self.children.is_empty() {
            each(parent, self);
        }
        self.children.iter().for_each(|it| it.leaves(Some(self), each));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_know_where_they_are() {
        let text = "<?xml version=\"1.0\"?>\n<!-- <no> --><A x=\"1\"><B>one</B><C/><B>two</B></A>";
        let root = Element::parse(text).unwrap();
        assert_eq!(root.children.iter().map(|it| it.text(text)).collect::<Vec<_>>(), ["one", "", "two"]);
        assert_eq!(text.get(root.children[2].whole.clone()), Some("<B>two</B>"));
    }

    #[test]
    fn what_has_no_end_or_another_is_none() {
        for text in ["", "text", "<A><B></B>", "<A><B></A></B>", "<A", "<A><B></A>"] {
            assert!(Element::parse(text).is_none(), "{text}");
        }
    }
}
