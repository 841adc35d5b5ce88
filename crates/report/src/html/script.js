// The page is whole without this: here are read-outs of values and pictures under the pointer, a finger or the keys.
(() => {
  'use strict';
  const tip = document.getElementById('tip'), big = tip.firstElementChild, text = tip.lastElementChild;
  const said = document.getElementById('said');
  const make = (tag, content, cls) => {
    const e = document.createElement(tag);
    if (content) e.textContent = content;
    if (cls) e.className = cls;
    return e;
  };
  let byKeys = false;
  const hide = () => { tip.hidden = true; };
  // A tap on one figure takes the focus from another after its own read-out is shown.
  const unlessPointed = (leave) => () => { if (byKeys) leave(); };
  const unlessTouch = (leave) => (event) => { if (event.pointerType === 'mouse' && !byKeys) leave(); };
  const show = (x, y, lines, tile, position) => {
    text.replaceChildren(...lines);
    big.removeAttribute('style');
    big.className = 'big';
    if (tile && position) { big.classList.add(tile); big.style.backgroundPosition = position; }
    tip.hidden = false;
    const w = tip.offsetWidth, h = tip.offsetHeight, gap = 14;
    const left = x + gap + w > innerWidth - 8 ? x - gap - w : x + gap;
    const top = y - gap - h < 8 ? y + gap : y - gap - h;
    tip.style.left = Math.max(8, Math.min(left, innerWidth - w - 8)) + 'px';
    tip.style.top = Math.max(8, Math.min(top, innerHeight - h - 8)) + 'px';
  };
  const say = () => { said.textContent = text.innerText; };
  const pairs = (path) => {
    const n = (path.getAttribute('d').replace(/h\.\d+/g, '').match(/-?[\d.]+/g) || []).map(Number);
    return n.length % 2 ? [] : Array.from({ length: n.length / 2 }, (_, i) => [n[2 * i], n[2 * i + 1]]);
  };
  const color = (path) => [...path.classList].find((c) => /^([ck]\d|grey)$/.test(c)) || 'grey';
  const number = (v) => {
    const a = Math.abs(v);
    if (a && (a < 1e-3 || a >= 1e6)) return v.toExponential(2).replace(/-/g, '−');
    return (a >= 100 ? String(Math.round(v * 10) / 10) : v.toPrecision(3)).replace('-', '−');
  };
  const place = (v) => String(+v.toPrecision(Math.abs(v) >= 1000 ? 6 : 3)).replace('-', '−');
  const keys = (element, label, move) => {
    element.tabIndex = 0;
    element.setAttribute('role', 'group');
    element.setAttribute('aria-label', label);
    element.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') { hide(); return; }
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      byKeys = true;
      if (step && move(...step) !== false) { event.preventDefault(); say(); }
    });
  };

  // Charts: the values of all lines at one place of the horizontal axis.
  for (const chart of document.querySelectorAll('.chart[data-x]')) {
    const plot = chart.querySelector('.plot'), svg = plot.querySelector('svg');
    const [x0, x1] = chart.dataset.x.split(',').map(Number), [y0, y1] = chart.dataset.y.split(',').map(Number);
    const log = chart.dataset.log === '1';
    const lines = [...svg.querySelectorAll('.line')]
      .map((path) => ({ name: path.dataset.name, color: color(path), points: pairs(path) }))
      .filter((line) => line.points.length);
    const places = [...new Set(lines.flatMap((l) => l.points.map((p) => p[0])))].sort((a, b) => a - b);
    const cursor = document.createElementNS(svg.namespaceURI, 'path');
    cursor.setAttribute('class', 'cursor');
    let at = 0;
    const read = (index) => {
      at = index;
      const x = places[index], box = plot.getBoundingClientRect(), rows = [];
      cursor.setAttribute('d', `M${x} 0V1000`);
      svg.append(cursor);
      rows.push(make('div', `${chart.dataset.xLabel} ${place(chart.dataset.logX === '1' ? 10 ** (x0 + (x / 1000) * (x1 - x0)) : x0 + (x / 1000) * (x1 - x0))}`));
      for (const line of lines) {
        const first = line.points[0][0], last = line.points[line.points.length - 1][0];
        if (x < Math.min(first, last) - 25 || x > Math.max(first, last) + 25) continue;
        let best = line.points[0], two = null;
        for (const p of line.points) {
          if (Math.abs(p[0] - x) < Math.abs(best[0] - x)) best = p;
          if (p[0] <= x) two = [p];
          else if (two && two.length === 1) two.push(p);
        }
        // A baseline is two points far apart: in between its value is on the line.
        let y = best[1];
        if (two && two.length === 2) y = two[0][1] + ((two[1][1] - two[0][1]) * (x - two[0][0])) / (two[1][0] - two[0][0]);
        const value = y0 + (1 - y / 1000) * (y1 - y0);
        const row = make('p'), name = make('span');
        name.append(make('i', '', line.color), line.name);
        row.append(name, make('b', number(log ? 10 ** value : value)));
        rows.push(row);
      }
      show(box.left + (x / 1000) * box.width, box.top + box.height / 2, rows);
    };
    const leave = () => { cursor.remove(); hide(); };
    const point = (event) => {
      if (byKeys) return;
      const box = plot.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * 1000;
      let best = 0;
      places.forEach((p, i) => { if (Math.abs(p - x) < Math.abs(places[best] - x)) best = i; });
      read(best);
    };
    if (!places.length) continue;
    plot.addEventListener('pointermove', point);
    plot.addEventListener('pointerdown', point);
    plot.addEventListener('pointerleave', unlessTouch(leave));
    plot.addEventListener('blur', unlessPointed(leave));
    keys(plot, `${svg.getAttribute('aria-label')} Arrow keys read the values.`, (dx) => {
      if (!dx) return false;
      read(Math.max(0, Math.min(places.length - 1, at + dx)));
    });
  }

  // Maps: the image of the point that is nearest.
  for (const map of document.querySelectorAll('.map .field')) {
    const svg = map.querySelector('svg'), ring = map.querySelector('.ring');
    const tile = map.parentElement.dataset.tile, points = [];
    for (const path of svg.querySelectorAll('.dot')) {
      const images = path.dataset.at ? path.dataset.at.split(',') : [];
      pairs(path).forEach(([x, y], i) => points.push({ x, y, path, position: images[i] }));
    }
    if (!points.length) continue;
    let at = null;
    const shown = (p) => getComputedStyle(p.path).opacity > 0.5;
    const read = (p) => {
      at = p;
      const box = map.getBoundingClientRect();
      ring.hidden = false;
      ring.style.left = p.x / 10 + '%';
      ring.style.top = p.y / 10 + '%';
      const row = make('p'), name = make('span');
      name.append(make('i', '', color(p.path)), p.path.dataset.name);
      row.append(name);
      show(box.left + (p.x / 1000) * box.width, box.top + (p.y / 1000) * box.height, [row], tile, p.position);
    };
    const leave = () => { ring.hidden = true; hide(); };
    const point = (event) => {
      if (byKeys) return;
      const box = map.getBoundingClientRect(), reach = event.pointerType === 'mouse' ? 22 : 34;
      const x = ((event.clientX - box.left) / box.width) * 1000, y = ((event.clientY - box.top) / box.height) * 1000;
      const live = new Map();
      let best = null, least = ((reach / box.width) * 1000) ** 2;
      for (const p of points) {
        if (!live.has(p.path)) live.set(p.path, shown(p));
        const d = (p.x - x) ** 2 + (p.y - y) ** 2;
        if (d < least && live.get(p.path)) { least = d; best = p; }
      }
      if (best) read(best); else leave();
    };
    map.addEventListener('pointermove', point);
    map.addEventListener('pointerdown', point);
    map.addEventListener('pointerleave', unlessTouch(leave));
    map.addEventListener('blur', unlessPointed(leave));
    keys(map, `${svg.getAttribute('aria-label')} Arrow keys go from point to point.`, (dx, dy) => {
      const from = at || { x: 500, y: 500 };
      let best = null, least = Infinity;
      for (const p of points) {
        const along = (p.x - from.x) * dx + (p.y - from.y) * dy, beside = Math.abs((p.x - from.x) * dy) + Math.abs((p.y - from.y) * dx);
        if (along > 0 && beside <= along && along + 2 * beside < least && shown(p)) { least = along + 2 * beside; best = p; }
      }
      if (best) read(best);
    });
  }

  // Galleries: a larger picture with its class and similarity.
  for (const gallery of document.querySelectorAll('.gallery')) {
    const tiles = [...gallery.querySelectorAll('.tile')];
    let at = -1;
    const read = (tile) => {
      const box = tile.getBoundingClientRect();
      const lines = tile.getAttribute('aria-label').split(', ').map((part) => make('div', part));
      const sprite = [...tile.classList].find((c) => /^t\d+$/.test(c));
      show(box.left + box.width / 2, box.top, lines, sprite, tile.style.backgroundPosition);
    };
    const over = (event) => { if (byKeys) return; const tile = event.target.closest('.tile'); if (tile) read(tile); else hide(); };
    gallery.addEventListener('pointermove', over);
    gallery.addEventListener('pointerdown', over);
    gallery.addEventListener('pointerleave', unlessTouch(hide));
    gallery.addEventListener('blur', unlessPointed(hide));
    if (!tiles.length) continue;
    keys(gallery, `${gallery.dataset.label || gallery.querySelector('h3').textContent}. Arrow keys go through the pictures.`, (dx, dy) => {
      at = Math.max(0, Math.min(tiles.length - 1, at + (dx || dy * 9)));
      tiles[at].scrollIntoView({ block: 'nearest', behavior: 'instant' });
      read(tiles[at]);
    });
  }
  // A page that moves beneath a resting mouse sends events, too: only a mouse that moved takes over from the keys.
  let last = [];
  for (const kind of ['pointerover', 'pointerout', 'pointermove', 'pointerdown']) {
    document.addEventListener(kind, (event) => {
      if (kind === 'pointerdown' || event.screenX !== last[0] || event.screenY !== last[1]) byKeys = false;
      last = [event.screenX, event.screenY];
    }, { passive: true, capture: true });
  }
  document.addEventListener('scroll', () => { if (!byKeys) hide(); }, { passive: true });
  document.addEventListener('pointerdown', (event) => { if (!event.target.closest('.plot, .field, .gallery')) hide(); });

  // Contents: which section is being read.
  const links = [...document.querySelectorAll('nav a')];
  const current = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links) {
        if (link.hash === '#' + entry.target.id) link.setAttribute('aria-current', 'true');
        else link.removeAttribute('aria-current');
      }
    }
  }, { rootMargin: '-15% 0px -75% 0px' });
  for (const section of document.querySelectorAll('main > section')) current.observe(section);
})();
