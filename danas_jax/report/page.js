"use strict";
// The page's charts and details, out of the JSON element `data`. Every text goes in as text, never as HTML.
(() => {
  const { charts, systems, networks } = JSON.parse(document.getElementById("data").textContent);
  const SHAPES = ["circle", "square", "triangle-up", "diamond", "hexagon", "triangle-down", "cross"];
  const narrow = () => window.innerWidth < 640;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // Charts, drawn by Plotly when they come near the window.
  function trace(series, chart) {
    const shown = (axis, values) => values.map((value) => value / axis.per);
    const ink = colour(`c${series.style % 5}`);
    const texts = series.xs.map((x, i) => {
      const system = series.systems && systems[series.systems[i]];
      return system ? [`<b>${escaped(system.title)}</b>`, ...system.hover.map(escaped)].join("<br>")
        : series.texts ? escaped(series.texts[i]) : "";
    });
    const known = texts.some((text) => text);
    const y = shown(chart.y, series.ys);
    return {
      type: "scatter",
      name: escaped(series.name),
      x: shown(chart.x, series.xs),
      y,
      mode: [series.line ? "lines" : "", series.radius ? "markers" : ""].filter(Boolean).join("+"),
      line: { color: ink, width: 1.8 },
      marker: {
        color: ink,
        size: 2.2 * series.radius + 1,
        symbol: SHAPES[series.style % SHAPES.length] + (series.filled ? "" : "-open"),
        line: { width: 1.4, color: ink },
      },
      error_y: series.intervals ? {
        type: "data",
        symmetric: false,
        array: series.intervals.map((ends, i) => (ends ? ends[1] / chart.y.per - y[i] : 0)),
        arrayminus: series.intervals.map((ends, i) => (ends ? y[i] - ends[0] / chart.y.per : 0)),
        color: ink,
        thickness: 1.2,
        width: 3,
      } : undefined,
      customdata: series.systems || undefined,
      text: known ? texts : undefined,
      hovertemplate: known ? "%{text}<extra></extra>" : "%{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
    };
  }

  function layout(chart) {
    const axis = (of) => ({
      title: { text: escaped(of.label) },
      gridcolor: colour("line"),
      linecolor: colour("line"),
      zeroline: false,
      automargin: true,
    });
    const shapes = chart.limits.map((limit) => ({
      type: "line", x0: limit.x / chart.x.per, x1: limit.x / chart.x.per, y0: 0, y1: 1, yref: "paper",
      line: { color: colour(`c${limit.style % 5}`), dash: "dash", width: 1.4 },
      label: { text: escaped(limit.text), textposition: "end", textangle: -90, xanchor: "right", yanchor: "bottom",
        font: { size: 10, color: colour("soft") } },
    }));
    if (chart.diagonal) {
      const of = (key, per) => chart.series.flatMap((series) => series[key].map((value) => value / per));
      const all = [...of("xs", chart.x.per), ...of("ys", chart.y.per)];
      const ends = { x0: Math.min(...all), x1: Math.max(...all), y0: Math.min(...all), y1: Math.max(...all) };
      shapes.push({ type: "line", layer: "below", ...ends, line: { color: colour("soft"), dash: "dot", width: 1 } });
    }
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("ink"), family: "system-ui, sans-serif", size: narrow() ? 11 : 13 },
      margin: { l: 10, r: 10, t: 10, b: 10 },
      xaxis: axis(chart.x),
      yaxis: axis(chart.y),
      shapes,
      showlegend: chart.series.length > 1,
      legend: { orientation: "h", yanchor: "bottom", y: 1.02, x: 0, xanchor: "left" },
      hovermode: "closest",
      hoverlabel: { align: "left", font: { size: 11 }, namelength: -1 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("ink") },
      dragmode: narrow() ? false : "zoom", // a finger scrolls the page
    };
  }

  const CONFIG = {
    responsive: true, displayModeBar: matchMedia("(hover: none)").matches ? false : "hover", displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg" },
  };
  const drawn = new Set();

  function draw(place) {
    const chart = charts[place.dataset.chart];
    Plotly.react(place, chart.series.map((series) => trace(series, chart)), layout(chart), CONFIG);
    if (!drawn.has(place)) {
      drawn.add(place);
      place.on("plotly_click", (event) => show(event.points[0].customdata, true));
    }
  }

  if (window.Plotly) {
    const near = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting)
      .forEach((entry) => { near.unobserve(entry.target); draw(entry.target); }), { rootMargin: "400px" });
    document.querySelectorAll(".chart").forEach((place) => near.observe(place));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(draw));
  }

  document.querySelectorAll(".choice").forEach((choice) => {
    const buttons = [...choice.querySelectorAll("button")];
    const figures = [...choice.querySelectorAll("figure")];
    buttons.forEach((button, i) => button.addEventListener("click", () => {
      buttons.forEach((other, j) => other.setAttribute("aria-pressed", String(i === j)));
      figures.forEach((figure, j) => { figure.hidden = i !== j; });
    }));
  });

  // Details of one system.
  function pairs(rows) {
    const made = rows.map(([what, text]) => element("tr", {}, element("td", {}, what), element("td", {}, text)));
    return element("table", { className: "pairs" }, element("tbody", {}, ...made));
  }

  function profile(network) {
    const most = Math.max(...network.layers.map((layer) => layer[2]));
    const rows = network.layers.map(([output, operator, live, text, macs], i) => {
      const bar = element("i");
      bar.style.width = `${(100 * live) / most}%`;
      const peak = i === network.bottleneck;
      return element("div", { className: peak ? "layer peak" : "layer", title: `${operator} ${output}: ${macs} MACs` },
        element("span", {}, output), element("span", {}, bar), element("span", {}, text));
    });
    return element("div", {},
      element("h4", {}, "Memory profile: activations alive at each operator"),
      element("div", { className: "layers", tabIndex: 0 }, ...rows),
      element("p", { className: "soft" }, `Bottleneck: ${network.peak}.`));
  }

  function confusion({ title, columns, rows }) {
    const body = rows.map(([name, ...cells]) => {
      const counts = cells.map((cell) => Number(cell.replace(/,/g, "")));
      const total = counts.reduce((sum, count) => sum + count, 0) || 1;
      return element("tr", {}, element("td", {}, name), ...cells.map((cell, i) => {
        const made = element("td", {}, cell);
        made.style.background = `color-mix(in srgb, var(--c0) ${(45 * counts[i]) / total}%, transparent)`;
        return made;
      }));
    });
    const head = columns.map((column) => element("th", { scope: "col" }, column));
    return element("div", {}, element("h4", {}, `test, int8. ${title}`), element("div", { className: "wide" },
      element("table", { className: "confusion" }, element("thead", {}, element("tr", {}, ...head)),
        element("tbody", {}, ...body))));
  }

  function examples(found, right) {
    const cells = found.filter((example) => example.right === right).map((example) => {
      const [label, answer] = [example.label, example.answer].map((names) => names.join(", ") || "nothing");
      const text = right ? label : `${label}, says ${answer}`;
      const picture = element("img", { src: `data:image/png;base64,${example.png}`, alt: text, title: example.name });
      return element("figure", { className: right ? "hit" : "miss" }, picture, text);
    });
    const title = right ? "Hits on validation, as the network sees them" :
      "Misses on validation, the surest first, as the network sees them";
    return cells.length ? [element("h4", {}, title), element("div", { className: "examples" }, ...cells)] : [];
  }

  const choose = document.getElementById("choose");

  function show(key, scroll = false) {
    const system = systems[key];
    if (!system || !choose) return;
    const network = networks[system.network] || {};
    const left = element("div", {}, pairs(system.rows),
      element("p", { className: "genes" }, ...system.genes.flatMap((line) => [line, element("br")])));
    const right = element("div", {}, ...(network.layers ? [profile(network)] : []),
      ...(network.confusion ? [confusion(network.confusion)] : []));
    const pictures = network.examples || [];
    document.getElementById("shown").replaceChildren(
      element("h3", {}, system.title), element("div", { className: "columns" }, left, right),
      ...examples(pictures, false), ...examples(pictures, true),
      ...(network.confusion && !pictures.length ? [element("p", { className: "soft" }, "No examples: the data were " +
        "gone when the report was written, or are no pictures.")] : []));
    choose.value = key;
    if (scroll) document.getElementById("system").scrollIntoView({ behavior: "smooth", block: "nearest" });
  }

  if (choose) {
    const groups = {};
    const order = (key) => ["finalists", "baselines"].indexOf(systems[key].group) >>> 0; // the fronts last
    Object.keys(systems).sort((a, b) => order(a) - order(b)).forEach((key) => {
      const { group, title, rows } = systems[key];
      groups[group] ||= choose.appendChild(element("optgroup", { label: group }));
      const budget = group === "finalists" ? ` (${rows[0][1]})` : "";
      groups[group].append(element("option", { value: key }, title + budget));
    });
    choose.addEventListener("change", () => show(choose.value));
    show(choose.options[0]?.value);
  }
})();
