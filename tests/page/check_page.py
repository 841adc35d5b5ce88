"""Opens a report page in Chromium and looks for what a reader would stumble over.

    python check_page.py PAGE.html OUTPUT_FOLDER

Needs `pip install playwright` and a Chromium of the system (CHROMIUM, by default the first
`chromium` or `google-chrome` on the PATH). Opens each width and theme offline from the file. The
exit status is 1 if something was found. Screenshots of whole pages, and of each section at 1280 and
390 pixels, lie in the folder.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTHS = [1280, 768, 390, 360]
THEMES = ["light", "dark"]

# Everything that is wrong with the page as it stands, as a list of sentences.
INSPECT = r"""
async () => {
  const found = [];
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) {
    const who = [...document.querySelectorAll('body *')]
      .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, nav, pre, svg'))
      .slice(0, 4).map((e) => `${e.tagName.toLowerCase()}.${e.className}`);
    found.push(`the page scrolls sideways by ${wide} px: ${who}`);
  }
  for (const image of document.images) {
    try { await image.decode(); } catch (e) { found.push(`an image does not decode: ${image.alt.slice(0, 60)}`); }
    if (!(image.naturalWidth > 0)) found.push(`an image is empty: ${image.alt.slice(0, 60)}`);
    if (!image.alt) found.push(`an image has no alt: ${image.src.slice(0, 40)}`);
  }
  const urls = new Set();
  for (const e of document.querySelectorAll('*')) {
    const url = getComputedStyle(e).backgroundImage.match(/^url\("(.*)"\)$/);
    if (url) urls.add(url[1]);
  }
  for (const url of urls) {
    const image = new Image();
    image.src = url;
    try { await image.decode(); } catch (e) { found.push('a background picture does not decode'); }
    if (!url.startsWith('data:')) found.push(`a picture from elsewhere: ${url.slice(0, 80)}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`the id ${id} stands twice`);
  for (const a of document.querySelectorAll('a[href^="#"]'))
    if (!document.getElementById(a.hash.slice(1))) found.push(`a link to nowhere: ${a.hash}`);
  for (const e of document.querySelectorAll('svg *'))
    for (const a of e.attributes) if (/NaN|Infinity|undefined/.test(a.value) && a.name !== 'data-name')
      found.push(`${e.tagName} ${a.name}=${a.value.slice(0, 40)}`);

  // Contrast of text (WCAG AA): 4.5, or 3 where it is large.
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255];
  };
  const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const luminance = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c[3] > 0.75) return c;
    }
    return [255, 255, 255, 1];
  };
  const seen = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.closest('script, style, svg, .unseen')) continue;
    const style = getComputedStyle(e);
    if (!e.getClientRects().length || style.visibility === 'hidden') continue;
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    const [a, b] = [luminance(rgba(style.color)), luminance(behind(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05), what = `${e.tagName.toLowerCase()}.${e.className}`;
    if (contrast < (large ? 3 : 4.5) && !seen.has(what)) {
      seen.add(what);
      found.push(`contrast ${contrast.toFixed(2)} of ${what}: ${e.textContent.trim().slice(0, 30)}`);
    }
    if (size < 11.5 && !seen.has('size' + what)) {
      seen.add('size' + what);
      found.push(`text of ${size} px in ${what}`);
    }
  }

  // On a phone a table shows all columns without scrolling. Comparisons of runs may be wider.
  if (innerWidth < 500) for (const box of document.querySelectorAll('.table .scroll')) {
    const table = box.querySelector('table');
    const beyond = Math.max(box.scrollWidth - box.clientWidth, Math.round(table.getBoundingClientRect().right - innerWidth));
    if (beyond > 1 && !table.matches('.compare')) found.push(`the table "${box.getAttribute('aria-label')}" is ${beyond} px too wide`);
  }

  // Names on a map must neither lie on each other nor leave it.
  for (const field of document.querySelectorAll('.map .field')) {
    const title = field.closest('figure').querySelector('h3').textContent, frame = field.getBoundingClientRect();
    const boxes = [...field.querySelectorAll('.name')].map((s) => [s.textContent, s.getBoundingClientRect()]);
    boxes.forEach(([text, a], i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 || a.bottom > frame.bottom + 1)
        found.push(`"${text}" leaves the map "${title}"`);
      for (const [other, b] of boxes.slice(i + 1)) {
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left), y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (x > 0.5 && y > 0.5) found.push(`"${text}" and "${other}" overlap on the map "${title}"`);
      }
    });
  }

  // Nothing is said twice in the verdict.
  const said = new Set();
  for (const p of document.querySelectorAll('.verdict .headline, .verdict li p')) {
    const text = p.lastChild.textContent.trim().toLowerCase();
    if ([...said].some((other) => other.includes(text))) found.push(`the verdict says twice: ${text.slice(0, 60)}`);
    said.add(text);
  }

  // Labels of a chart must neither lie on each other nor leave the page.
  for (const plot of document.querySelectorAll('.plot')) {
    const title = plot.closest('figure').querySelector('h3').textContent;
    const boxes = [...plot.querySelectorAll(':scope > span')].filter((s) => s.getClientRects().length)
      .map((s) => [s.textContent, s.getBoundingClientRect()]);
    boxes.forEach(([text, a], i) => {
      if (a.right > innerWidth + 1 || a.left < -1) found.push(`"${text}" leaves the page in "${title}"`);
      for (const [other, b] of boxes.slice(i + 1)) {
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left), y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (x > 1 && y > 1) found.push(`"${text}" and "${other}" overlap in "${title}"`);
      }
    });
  }
  return found;
}
"""


def chromium():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        sys.exit("no Chromium: set CHROMIUM to its path")
    return path


def use(page, touch):
    """Points at everything that answers, and says what did not."""
    found = []
    for kind, name in [(".chart[data-x] .plot", "chart"), (".map .field", "map"), (".gallery .tile", "gallery")]:
        element = page.locator(kind).first
        if element.count() == 0:
            continue
        element.scroll_into_view_if_needed()
        page.wait_for_timeout(120)
        box = element.bounding_box()
        places = [(0.5, 0.5)] if name != "map" else [(x / 20, y / 20) for x in range(1, 20, 2) for y in range(1, 20, 2)]
        shown = False
        for x, y in places:
            at = (box["x"] + x * box["width"], box["y"] + y * box["height"])
            page.touchscreen.tap(*at) if touch else page.mouse.move(*at)
            if page.locator("#tip").is_visible():
                shown = True
                break
        if not shown:
            found.append(f"no read-out on the first {name} by {'touch' if touch else 'mouse'}")
        elif not page.locator("#tip").inner_text().strip():
            found.append(f"an empty read-out on the first {name}")
    for kind, name in [(".chart[data-x] .plot", "chart"), (".map .field", "map"), (".gallery", "gallery")]:
        element = page.locator(kind).first
        if element.count() == 0:
            continue
        element.focus()
        page.wait_for_timeout(120)
        page.keyboard.press("ArrowRight")
        if not page.locator("#tip").is_visible():
            found.append(f"no read-out on the first {name} by keyboard")
        page.keyboard.press("Escape")
    box = page.locator(".legend input").first
    if box.count():
        dots = "[...document.querySelectorAll('.dot')].map((d) => getComputedStyle(d).opacity)"
        box.press(" ")
        page.wait_for_timeout(300)
        if len(set(page.evaluate(dots))) < 2 and page.locator(".dot").count() > 1:
            found.append("a chosen class does not stand out")
        box.press(" ")
    return found


def main(path, folder):
    folder.mkdir(parents=True, exist_ok=True)
    findings = []
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for width in WIDTHS:
            for theme in THEMES:
                where = f"{width} {theme}"
                touch = width < 500
                context = browser.new_context(
                    viewport={"width": width, "height": 900},
                    color_scheme=theme,
                    reduced_motion="reduce",
                    has_touch=touch,
                    is_mobile=touch,
                    device_scale_factor=2 if touch else 1,
                )
                page = context.new_page()
                page.on("console", lambda m: findings.append(f"{where}: console {m.type}: {m.text}"))
                page.on("pageerror", lambda e: findings.append(f"{where}: script: {e}"))
                page.on(
                    "request",
                    lambda r: None
                    if r.url.startswith(("data:", "file:"))
                    else findings.append(f"{where}: a request to {r.url[:80]}"),
                )
                page.goto(path.resolve().as_uri())
                findings += [f"{where}: {f}" for f in page.evaluate(INSPECT)]
                findings += [f"{where}: {f}" for f in use(page, touch)]
                page.mouse.move(0, 0)
                page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
                page.screenshot(path=folder / f"page-{width}-{theme}.png", full_page=True)
                if width in (1280, 390):
                    page.locator("header.page").screenshot(path=folder / f"head-{width}-{theme}.png")
                    for section in page.locator("main > section").all():
                        name = section.get_attribute("id")
                        section.screenshot(path=folder / f"{name}-{width}-{theme}.png")
                context.close()
        # Without scripts the page is whole all the same.
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(path.resolve().as_uri())
        page.screenshot(path=folder / "page-without-script.png", full_page=True)
        page.pdf(path=folder / "page.pdf", prefer_css_page_size=True)
        context.close()
        browser.close()
    for finding in findings:
        print(finding)
    print(f"{path}: {len(findings)} findings; screenshots in {folder}")
    return 1 if findings else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
