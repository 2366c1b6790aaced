// Zooming of timelines: the inner drawing is in cycles, so zooming sets its viewBox; axis and layer numbers follow.
document.querySelectorAll("svg .timeline").forEach((inner) => {
  const total = Number(inner.dataset.total);
  const outer = inner.parentNode;
  const axis = outer.querySelector(".timeline-axis");
  const labels = outer.querySelector(".timeline-labels");
  const left = Number(inner.getAttribute("x"));
  const width = Number(inner.getAttribute("width"));
  const height = Number(inner.getAttribute("height"));
  const layers = [...inner.querySelectorAll(":scope > rect")].map((band) => ({
    begin: Number(band.getAttribute("x")), end: Number(band.getAttribute("x")) + Number(band.getAttribute("width")),
    name: band.querySelector("title").textContent,
  }));
  const paths = inner.querySelectorAll("path");
  let first = 0, span = total;

  const add = (parent, kind, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", kind);
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    if (text !== undefined) node.textContent = text;
    parent.appendChild(node);
  };
  const show = () => {
    span = Math.min(Math.max(span, 40), total);
    first = Math.min(Math.max(first, 0), total - span);
    inner.setAttribute("viewBox", `${first} 0 ${span} ${height}`);
    paths.forEach((path) => path.setAttribute("stroke-width", span < total / 6 || span < 2000 ? 0.8 : 0));
    const place = (cycle) => left + width * (cycle - first) / span;
    axis.replaceChildren();
    let step = 10 ** Math.floor(Math.log10(span / 6));
    while (span / step > 10) step *= step.toString().startsWith("2") ? 2.5 : 2;
    for (let cycle = Math.ceil(first / step) * step; cycle <= first + span; cycle += step) {
      add(axis, "line", {x1: place(cycle), x2: place(cycle), y1: height - 4, y2: height + 2, stroke: "#57606a"});
      add(axis, "text", {x: place(cycle), y: height + 14, "font-size": 10, "text-anchor": "middle", fill: "#57606a"},
          Math.round(cycle).toLocaleString("en"));
    }
    labels.replaceChildren();
    layers.forEach(({begin, end, name}) => {
      const from = Math.max(begin, first), to = Math.min(end, first + span), room = width * (to - from) / span;
      if (room < 18) return;
      const text = room > 7 * name.length ? name : name.split(" ")[0];
      add(labels, "text", {x: place((from + to) / 2), y: 14, "font-size": 10, "text-anchor": "middle", fill: "#57606a"}, text);
    });
  };
  const cycleAt = (event) => {
    const box = outer.getBoundingClientRect();
    return first + span * ((event.clientX - box.left) / box.width * outer.viewBox.baseVal.width - left) / width;
  };
  inner.addEventListener("wheel", (event) => {
    event.preventDefault();
    const cycle = cycleAt(event), factor = Math.exp(event.deltaY * 0.002);
    const share = (cycle - first) / span;
    span = Math.min(Math.max(span * factor, 40), total);
    first = cycle - share * span;
    show();
  }, {passive: false});
  let held = null;
  inner.addEventListener("pointerdown", (event) => { held = cycleAt(event); inner.setPointerCapture(event.pointerId); });
  inner.addEventListener("pointermove", (event) => { if (held !== null) { first += held - cycleAt(event); show(); } });
  inner.addEventListener("pointerup", () => { held = null; });
  inner.addEventListener("dblclick", () => { first = 0; span = total; show(); });
  // For links to a part of the timeline: report.html#cycles=1000-2000
  const match = /cycles=(\d+)-(\d+)/.exec(location.hash);
  if (match) { first = Number(match[1]); span = Number(match[2]) - first; }
  show();
});
