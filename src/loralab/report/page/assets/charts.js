// Charts: a legend's button hides its series; pointing, or the arrow keys, read off the nearest point.

function short(value) {
  return String(Number(value.toPrecision(5)));
}

function toggleSeries(chart, name, button) {
  const isShown = button.getAttribute("aria-pressed") === "true";
  button.setAttribute("aria-pressed", String(!isShown));
  for (const series of chart.querySelectorAll(".series"))
    if (series.dataset.name === name) series.classList.toggle("off", isShown);
}

function visiblePoints(chart, data) {
  const found = [];
  chart.querySelectorAll(".series").forEach((series, index) => {
    if (series.matches(".off, .out")) return;
    const dots = series.querySelectorAll("circle"), { name, values, places } = data.series[index];
    places.forEach((place, at) => {
      if (!dots[at]?.matches(".out")) found.push({ name, place, value: values[at], key: dots[at]?.dataset.key });
    });
  });
  return found;
}

function setUpChart(chart, data) {
  for (const item of chart.querySelectorAll(".legend li")) {
    const name = item.dataset.name, icon = item.querySelector("svg");
    const button = makeButton(name, () => toggleSeries(chart, name, button));
    button.setAttribute("aria-pressed", "true");
    button.prepend(icon);
    item.replaceChildren(button);
  }
  if (!data.series) return;
  const svg = chart.querySelector(":scope > svg"), readout = document.createElement("div");
  const pointer = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  let at = -1;
  readout.className = "readout";
  readout.hidden = true;
  readout.setAttribute("role", "status");
  pointer.setAttribute("class", "pointer");
  pointer.setAttribute("r", "7");
  chart.append(readout);

  function show({ name, place: [x, y], value }) {
    const box = svg.getBoundingClientRect(), outer = chart.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    readout.textContent = `${name}: ${data.x} ${short(value[0])}, ${data.y || "value"} ${short(value[1])}`;
    readout.hidden = false;
    readout.style.setProperty("top", `${box.top - outer.top + y * scale + 12}px`);
    const left = box.left - outer.left + x * scale;
    readout.style.setProperty("left", `${Math.max(4, Math.min(left + 8, outer.width - readout.offsetWidth - 8))}px`);
    pointer.setAttribute("cx", x);
    pointer.setAttribute("cy", y);
    svg.append(pointer);
  }
  function leave() {
    readout.hidden = true;
    pointer.remove();
    at = -1;
  }
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    const x = (event.clientX - box.left) / scale, y = (event.clientY - box.top) / scale;
    const distance = ({ place }) => Math.hypot(place[0] - x, place[1] - y);
    const points = visiblePoints(chart, data);
    if (points.length) show(points.reduce((best, each) => (distance(each) < distance(best) ? each : best)));
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key], points = visiblePoints(chart, data);
    if (event.key === "Escape") leave();
    if (!move || !points.length) return;
    event.preventDefault();
    at = (at + move + points.length + (at < 0 && move < 0)) % points.length;
    show(points[at]);
  });
}
