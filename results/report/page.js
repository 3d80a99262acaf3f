"use strict";
(() => {
  const shapes = 8, colours = 8;
  const dashes = [[], [7, 3], [2, 2.5], [9, 3, 2, 3], [5, 2, 1.5, 2, 1.5, 2], [12, 4], [4, 4], [1.5, 4]];
  const root = document.documentElement;
  let theme = {};
  const readTheme = () => {
    const style = getComputedStyle(root);
    for (const name of ["ink", "soft", "rule", "axis", "paper", "fault", "cx", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"]) {
      theme[name] = style.getPropertyValue("--" + name).trim();
    }
  };
  const colourOf = (s, joined) => s.struck && joined ? theme.cx : s.colour < 0 ? theme.soft : theme["c" + s.colour % colours];

  // The formats are those of the tables.
  const significant = v => {
    const a = Math.abs(v);
    return a === 0 ? "0" : v.toFixed(a < 0.0995 ? 3 : a < 9.995 ? 2 : a < 99.95 ? 1 : 0);
  };
  const formatNS = v => {
    const a = Math.abs(v);
    if (a < 999.5) return significant(v) + "ns";
    if (a < 999.5e3) return significant(v / 1e3) + "µs";
    if (a < 999.5e6) return significant(v / 1e6) + "ms";
    return significant(v / 1e9) + "s";
  };
  const formatCount = v => Math.round(v).toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  const formatShare = v => {
    const p = 100 * (1 - 1 / v);
    let digits = v > 10 ? Math.max(0, Math.ceil(Math.log10(v) - 1e-9) - 2) : 0;
    if (v > 1 && v < 100 && Math.abs(p - Math.round(p)) > 1e-6) digits = 1;
    return p.toFixed(digits);
  };
  const format = (axis, v) => axis.unit === "ns" ? formatNS(v) : axis.unit === "share" ? formatShare(v) + " %" :
    axis.unit === "s" ? significant(v) + " s" : formatCount(v);
  const tick = (axis, v) => {
    if (v === 0) return "0";
    if (axis.unit === "ns") return formatNS(v).replace(/(\.\d*?)0+(?=\D)/, "$1").replace(/\.(?=\D)/, "");
    return axis.unit === "share" ? formatShare(v) : formatCount(v);
  };

  const outline = (shape, x, y, r) => {
    const p = new Path2D();
    const lines = (...points) => points.forEach(([a, b], i) => i ? p.lineTo(x + a * r, y + b * r) : p.moveTo(x + a * r, y + b * r));
    switch ((shape + shapes) % shapes) {
    case 1: p.rect(x - .85 * r, y - .85 * r, 1.7 * r, 1.7 * r); break;
    case 2: lines([0, -1.1], [1.1, .9], [-1.1, .9]); p.closePath(); break;
    case 3: lines([0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]); p.closePath(); break;
    case 4: lines([-1.2, 0], [1.2, 0]); lines([0, -1.2], [0, 1.2]); break;
    case 5: lines([-1, -1], [1, 1]); lines([-1, 1], [1, -1]); break;
    case 6: lines([0, 1.1], [1.1, -.9], [-1.1, -.9]); p.closePath(); break;
    case 7: lines([0, -1.3], [0, 1.3]); break;
    default: p.arc(x, y, r, 0, 2 * Math.PI);
    }
    return p;
  };
  const open = s => s.struck || [4, 5, 7].includes(s.colour % shapes);

  const drawBands = (u, plot) => {
    const c = u.ctx;
    c.save();
    for (const b of plot.bands || []) {
      const from = u.valToPos(b.from, "x", true), to = u.valToPos(b.to, "x", true);
      c.fillStyle = theme.fault;
      c.fillRect(from, u.bbox.top, to - from, u.bbox.height);
      c.fillStyle = theme.soft;
      c.font = 11 * devicePixelRatio + "px system-ui, sans-serif";
      c.textAlign = "center";
      c.fillText(b.name, (from + to) / 2, u.bbox.top + 13 * devicePixelRatio, Math.max(40, to - from));
    }
    c.restore();
  };
  const drawMarks = (u, plot) => {
    const c = u.ctx, scale = devicePixelRatio;
    c.save();
    c.beginPath();
    c.setLineDash([]);
    c.rect(u.bbox.left - 4, u.bbox.top - 4, u.bbox.width + 8, u.bbox.height + 8);
    c.clip();
    plot.series.forEach((s, i) => {
      if (!u.series[i + 1].show) return;
      const r = (s.colour < 0 ? 1.2 : 2.6) * scale;
      c.strokeStyle = c.fillStyle = colourOf(s, plot.joined);
      c.lineWidth = 1.2 * scale;
      let next = u.bbox.left + 90 * scale * (Math.max(s.colour, 0) % colours) / colours;
      s.x.forEach((v, k) => {
        if (s.y[k] === null) return;
        const x = u.valToPos(v, "x", true);
        if (!plot.points && x < next) return;
        next = x + 90 * scale;
        const p = outline(Math.max(s.colour, 0), x, u.valToPos(s.y[k], "y", true), r);
        open(s) ? c.stroke(p) : c.fill(p);
      });
    });
    c.restore();
  };

  // thin leaves out ticks that would touch.
  const thin = (ticks, length, least) => {
    const step = Math.ceil(ticks.length * least / Math.max(length, 1));
    return step > 1 ? ticks.filter((_, i) => i % step === 0) : ticks;
  };
  const axisOf = (axis, bottom, last) => ({
    stroke: () => theme.soft,
    font: "11px system-ui, sans-serif",
    grid: {show: !bottom, stroke: () => theme.rule, width: 1},
    ticks: {show: bottom, stroke: () => theme.axis, width: 1, size: 4},
    border: {show: bottom, stroke: () => theme.axis, width: 1},
    gap: bottom ? 4 : 6,
    size: bottom ? (last ? 38 : 10) : 60,
    label: bottom && last ? axis.title + (axis.unit === "share" ? ", %" : "") : undefined,
    labelFont: "11px system-ui, sans-serif",
    labelSize: 16,
    labelGap: 0,
    splits: u => bottom ? thin(axis.ticks, u.width - 70, axis.unit === "share" ? 42 : 52) : thin(axis.ticks, u.height, 22),
    filter: (u, splits) => splits,
    values: (u, splits) => bottom && !last ? splits.map(() => "") : splits.map(v => tick(axis, v)),
  });

  class Figure {
    constructor(data) {
      this.data = data;
      this.box = document.getElementById(data.id);
      this.plot = this.box.querySelector(".plot");
      this.out = this.box.querySelector(".readout");
      this.only = -1; // the line of the legend that the arrow keys stay on
      this.index = -1;
      this.xs = [...new Set(data.plots.flatMap(p => p.series.flatMap(s => s.x)))].sort((a, b) => a - b);
      this.at = new Map(this.xs.map((x, i) => [x, i]));
      this.hidden = new Set();
      this.charts = data.plots.map((p, i) => this.chart(p, i === data.plots.length - 1));
      this.plot.classList.add("live");
      this.listen();
    }

    chart(plot, last) {
      const pane = document.createElement("div");
      pane.className = "pane";
      const head = document.createElement("p");
      head.textContent = plot.title;
      pane.append(head);
      this.plot.append(pane);
      const values = plot.series.map(s => {
        const column = new Array(this.xs.length);
        s.x.forEach((x, i) => { column[this.at.get(x)] = s.y[i]; });
        return column;
      });
      const range = a => [a.low, a.high];
      const scale = a => ({time: false, distr: a.log ? 3 : 1, range: () => range(a)});
      const u = new uPlot({
        width: this.width(), height: (plot.tall ? 290 : 170) + (last ? 38 : 10),
        padding: [8, 22, 0, 0],
        legend: {show: false},
        cursor: {y: false, drag: {x: false, y: false}, points: {show: !plot.points, size: 7}, sync: {key: this.data.id}},
        scales: {x: scale(plot.x), y: scale(plot.y)},
        axes: [axisOf(plot.x, true, last), axisOf(plot.y, false, last)],
        series: [{}, ...plot.series.map(s => ({
          stroke: () => colourOf(s, plot.joined),
          width: s.colour < 0 ? 1 : 1.7,
          dash: s.colour < 0 ? [] : dashes[s.colour % dashes.length],
          paths: plot.joined ? undefined : () => null,
          points: {show: false},
          spanGaps: false, // null is a gap, undefined is another series' point
        }))],
        hooks: {
          drawAxes: [u => drawBands(u, plot)],
          draw: [u => drawMarks(u, plot)],
          setCursor: [u => { if (u.cursor.event && u.cursor.idx != null && u.cursor.left >= 0) this.read(u.cursor.idx); }],
        },
      }, [this.xs, ...values], pane);
      u.root.setAttribute("aria-hidden", "true");
      return u;
    }

    width() { return Math.max(240, Math.floor(this.plot.clientWidth)); }

    listen() {
      this.plot.addEventListener("keydown", e => this.key(e));
      this.plot.addEventListener("focus", () => { if (this.index < 0 && this.plot.matches(":focus-visible")) this.move(0); });
      this.box.querySelectorAll("[data-legend]").forEach(button => {
        const line = Number(button.dataset.legend);
        button.addEventListener("click", () => {
          const hide = !this.hidden.has(line);
          hide ? this.hidden.add(line) : this.hidden.delete(line);
          button.setAttribute("aria-pressed", String(!hide));
          this.each(line, (u, i) => u.setSeries(i, {show: !hide}));
        });
      });
    }

    each(line, act) {
      this.data.plots.forEach((p, k) => p.series.forEach((s, i) => { if (s.legend === line) act(this.charts[k], i + 1); }));
    }

    key(e) {
      const steps = {ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10};
      if (e.key in steps) this.move(steps[e.key]);
      else if (e.key === "Home") { this.index = -1; this.move(1); }
      else if (e.key === "End") { this.index = this.xs.length; this.move(-1); }
      else if (e.key === "ArrowDown") this.turn(1);
      else if (e.key === "ArrowUp") this.turn(-1);
      else if (e.key === "Escape") { this.only = -1; this.move(0); }
      else return;
      e.preventDefault();
    }

    // turn goes to the next subject; -1 is all of them.
    turn(step) {
      const n = this.box.querySelectorAll("[data-legend]").length + 1;
      this.only = (this.only + 1 + step + n) % n - 1;
      if (this.index < 0) this.index = 0;
      if (!this.values(this.index).length) this.move(1); else this.move(0);
    }

    move(step) {
      const one = Math.sign(step) || 1;
      let i = Math.min(Math.max(this.index + step, 0), this.xs.length - 1);
      while (i >= 0 && i < this.xs.length && !this.values(i).length) i += one;
      if (i < 0 || i >= this.xs.length) return;
      this.index = i;
      this.charts.forEach((u, k) => u.setCursor({left: u.valToPos(this.xs[i], "x"), top: u.over.clientHeight / 2}, false));
      this.read(i);
    }

    values(i) {
      const found = [];
      this.data.plots.forEach((p, k) => p.series.forEach((s, n) => {
        const v = this.charts[k].data[n + 1][i];
        if (v == null || this.hidden.has(s.legend)) return;
        if (this.only >= 0 && s.legend !== this.only) return;
        found.push({plot: p, series: s, value: v, label: s.labels ? s.labels[s.x.indexOf(this.xs[i])] : ""});
      }));
      return found;
    }

    read(i) {
      this.index = i;
      const found = this.values(i), axis = this.data.plots[0].x;
      if (!found.length) return;
      const by = new Map();
      for (const f of found) {
        const name = f.series.legend < 0 ? f.plot.title : f.series.name.replace(/, struck out$/, "");
        if (!by.has(name)) by.set(name, []);
        const what = this.data.plots.length > 1 && f.series.legend >= 0 ? f.plot.title + " " : "";
        by.get(name).push(what + format(f.plot.y, f.value) + (f.series.struck ? " (struck out)" : ""));
      }
      this.out.replaceChildren();
      const at = document.createElement("b");
      const label = (found[0].label || "").split(",")[0];
      at.textContent = label.startsWith("second") ? label : format(axis, this.xs[i]) + (label && ", " + label);
      this.out.append(at, "  " + [...by].map(([name, values]) => name + ": " + values.join(", ")).join("; "));
    }

    resize() {
      const width = this.width();
      this.charts.forEach(u => { if (u.width !== width) u.setSize({width, height: u.height}); });
    }

    redraw() { this.charts.forEach(u => u.redraw(false)); }
  }

  // Dots are drawn already; the script reads them out.
  const readDots = box => {
    const plot = box.querySelector(".plot"), out = box.querySelector(".readout");
    let row = -1;
    const shown = () => [...plot.querySelectorAll("svg")].find(s => s.getBoundingClientRect().width > 0);
    const rows = () => [...(shown() || plot).querySelectorAll("g.row")];
    const say = element => {
      if (!element) return;
      const {raw, said} = element.dataset;
      out.textContent = raw ? element.closest("[data-of]").dataset.of + ", " + raw : said;
    };
    const mark = chosen => plot.querySelectorAll("g.row.on").forEach(g => { if (g !== chosen) g.classList.remove("on"); });
    const show = step => {
      const all = rows();
      if (!all.length) return;
      row = Math.min(Math.max(row + step, 0), all.length - 1);
      mark(all[row]);
      all[row].classList.add("on");
      say(all[row]);
    };
    plot.addEventListener("pointermove", e => say(e.target.closest("[data-raw],[data-said]")));
    plot.addEventListener("click", e => say(e.target.closest("[data-raw],[data-said]")));
    plot.addEventListener("focus", () => { if (plot.matches(":focus-visible")) show(row < 0 ? 1 : 0); });
    plot.addEventListener("blur", () => mark(null));
    plot.addEventListener("keydown", e => {
      const perPanel = Number(plot.dataset.rows) || 1;
      const steps = {ArrowDown: 1, ArrowUp: -1, ArrowRight: perPanel, ArrowLeft: -perPanel, Home: -1e6, End: 1e6};
      if (!(e.key in steps)) return;
      show(steps[e.key]);
      e.preventDefault();
    });
  };

  readTheme();
  const figures = JSON.parse(document.getElementById("data").textContent || "[]").map(data => new Figure(data));
  document.querySelectorAll(".figure.dots").forEach(readDots);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTheme(); figures.forEach(f => f.redraw()); });
  let waiting = 0;
  addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(() => figures.forEach(f => f.resize())); });
  // Paper shows every table.
  let closed = [];
  addEventListener("beforeprint", () => { closed = [...document.querySelectorAll("details:not([open])")]; closed.forEach(d => { d.open = true; }); });
  addEventListener("afterprint", () => closed.forEach(d => { d.open = false; }));
})();
