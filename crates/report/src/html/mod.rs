//! Text as HTML, and the frame of every page.

mod picture;
pub(crate) mod sprite;

use std::fmt::Write;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page loads nothing from elsewhere: it makes no request and runs no foreign script.
const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Two overlapping views: the mark in the page's head and on its tab.
const MARK: &str = "<circle cx='12' cy='16' r='9' fill='none' stroke-width='2.5'/>\
                    <circle cx='20' cy='16' r='9' fill='none' stroke-width='2.5'/>\
                    <circle class='dot' cx='16' cy='16' r='2.5' stroke='none'/>";

/// Text for an element or a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // HTML takes these for errors; none of them means anything to a reader.
            c if c.is_control() && c != '\n' && c != '\t' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// `<p class=…>` around escaped text, or nothing where there is no text.
pub fn paragraph(class: &str, text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("<p class=\"{class}\">{}</p>", escape(text))
}

/// A heading of level 3 with its caption, for a `<figcaption>` or above a table.
pub fn heading(title: &str, caption: &str) -> String {
    format!("<h3>{}</h3>{}", escape(title), paragraph("caption", caption))
}

/// Figures side by side: three in a row if that fills every row, else two.
pub fn grid(figures: &[String]) -> String {
    if figures.is_empty() {
        return String::new();
    }
    let thirds = if figures.len().is_multiple_of(3) { " thirds" } else { "" };
    format!("<div class=\"grid{thirds}\">{}</div>", figures.concat())
}

/// A page in the making. Sections are added in reading order and make the table of contents.
pub struct Document {
    title: String,
    style: String,
    head: String,
    contents: Vec<&'static str>,
    body: String,
}

impl Document {
    /// A page whose `head` (HTML) stands above the table of contents.
    pub fn new(title: &str, head: String) -> Self {
        Self {
            title: title.into(),
            style: String::new(),
            head,
            contents: vec![],
            body: String::new(),
        }
    }

    /// Adds rules of this page only.
    pub fn style(&mut self, rules: &str) {
        self.style.push_str(rules);
    }

    /// Adds a section, unless it is empty.
    pub fn section(&mut self, title: &'static str, content: &str) {
        if content.is_empty() {
            return;
        }
        let id = self.contents.len();
        self.body.push_str(&format!(
            "<section id=\"s{id}\" aria-labelledby=\"h{id}\"><h2 id=\"h{id}\">{}</h2>{content}</section>\n",
            escape(title)
        ));
        self.contents.push(title);
    }

    /// The whole page.
    pub fn finish(self) -> String {
        let mut links = String::new();
        for (id, title) in self.contents.iter().enumerate() {
            let _ = write!(links, "<li><a href=\"#s{id}\">{}</a></li>", escape(title));
        }
        // One section needs no table of contents.
        let contents = match self.contents.len() {
            0 | 1 => String::new(),
            _ => format!("<nav aria-label=\"Contents\"><ul>{links}</ul></nav>\n"),
        };
        let title = escape(&self.title);
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <link rel=\"icon\" href=\"{}\">\n\
             <title>{title}</title>\n<style>\n{STYLE}{}</style></head>\n<body>\n\
             <a class=\"skip\" href=\"#main\">Skip to the content</a>\n\
             <header class=\"page\">{}</header>\n\
             {contents}<main id=\"main\">\n{}</main>\n\
             <footer>Made by Selfsame. This page needs no network and no other file.</footer>\n\
             <div id=\"tip\" hidden><span class=\"big\"></span><div></div></div>\n\
             <div id=\"said\" class=\"unseen\" aria-live=\"polite\"></div>\n\
             <script>\n{SCRIPT}</script>\n</body></html>\n",
            icon(),
            self.style,
            self.head,
            self.body,
        )
    }
}

/// The mark for the page's head.
pub fn mark() -> String {
    format!("<svg class=\"mark\" viewBox=\"0 0 32 32\" aria-hidden=\"true\">{MARK}</svg>")
}

fn icon() -> String {
    let svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32' stroke='%232456b3' fill='%232456b3'>{MARK}</svg>"
    );
    format!("data:image/svg+xml,{}", svg.replace('<', "%3C").replace('>', "%3E"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("<b a='1'>\"&\u{0}"), "&lt;b a=&#39;1&#39;&gt;&quot;&amp;\u{fffd}");
    }

    #[test]
    fn contents_list_each_section_that_is_not_empty() {
        let mut page = Document::new("t", String::new());
        page.section("One", "<p>1</p>");
        page.section("Nothing", "");
        page.section("Two", "<p>2</p>");
        let html = page.finish();
        assert!(html.contains("<li><a href=\"#s0\">One</a></li><li><a href=\"#s1\">Two</a></li>"));
        assert!(!html.contains("Nothing"));
    }
}
