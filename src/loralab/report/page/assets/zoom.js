// All pictures of a gallery are enlarged and moved together: they share three custom properties.

const MOST_ZOOM = 8;

function setUpZoom(gallery) {
  const view = { zoom: 1, x: 0, y: 0 }; // x, y: what lies left and above, in hundredths of the picture
  const slider = document.createElement("input"), label = document.createElement("label");
  Object.assign(slider, { type: "range", min: 1, max: MOST_ZOOM, step: 0.25, value: 1 });

  function clamp(value) {
    return Math.min(Math.max(value, 0), 100 - 100 / view.zoom);
  }
  function show() {
    view.x = clamp(view.x);
    view.y = clamp(view.y);
    gallery.style.setProperty("--zoom", view.zoom);
    gallery.style.setProperty("--x", `${view.x}%`);
    gallery.style.setProperty("--y", `${view.y}%`);
    gallery.classList.toggle("zoomed", view.zoom > 1);
    slider.value = view.zoom;
    slider.setAttribute("aria-valuetext", `${view.zoom} times`);
  }
  // Enlarges around a place of the frame, given from 0 to 1.
  function zoomTo(zoom, u = 0.5, v = 0.5) {
    const next = Math.min(Math.max(zoom, 1), MOST_ZOOM);
    view.x += u * (100 / view.zoom - 100 / next);
    view.y += v * (100 / view.zoom - 100 / next);
    view.zoom = next;
    show();
  }
  function inFrame(event) {
    const frame = event.target.closest(".frame");
    if (!frame) return null;
    const box = frame.getBoundingClientRect();
    return { frame, box, u: (event.clientX - box.left) / box.width, v: (event.clientY - box.top) / box.height };
  }
  slider.addEventListener("input", () => zoomTo(Number(slider.value)));
  label.append("zoom", slider);
  const reset = makeButton("whole picture", () => zoomTo(1));
  gallery.prepend(makeControls(label, reset));
  gallery.tabIndex = 0;
  gallery.setAttribute("role", "group");
  gallery.setAttribute("aria-label", "pictures; plus and minus zoom, arrow keys move, 0 shows the whole picture");

  gallery.addEventListener("dblclick", (event) => {
    const at = inFrame(event);
    if (at) zoomTo(view.zoom > 1 ? 1 : 4, at.u, at.v);
  });
  gallery.addEventListener("wheel", (event) => {
    const at = inFrame(event);
    if (!at || !event.ctrlKey) return;
    event.preventDefault();
    zoomTo(view.zoom * 2 ** (-event.deltaY / 200), at.u, at.v);
  }, { passive: false });
  let held = null;
  gallery.addEventListener("pointerdown", (event) => {
    const at = inFrame(event);
    if (!at || view.zoom === 1) return;
    held = { box: at.box, clientX: event.clientX, clientY: event.clientY, x: view.x, y: view.y };
    at.frame.setPointerCapture(event.pointerId);
    gallery.classList.add("dragging");
  });
  gallery.addEventListener("pointermove", (event) => {
    if (!held) return;
    view.x = held.x - ((event.clientX - held.clientX) / held.box.width) * (100 / view.zoom);
    view.y = held.y - ((event.clientY - held.clientY) / held.box.height) * (100 / view.zoom);
    show();
  });
  for (const end of ["pointerup", "pointercancel"])
    gallery.addEventListener(end, () => {
      held = null;
      gallery.classList.remove("dragging");
    });
  gallery.addEventListener("keydown", (event) => {
    if (event.target !== gallery) return;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "+" || event.key === "=") zoomTo(view.zoom * 1.5);
    else if (event.key === "-") zoomTo(view.zoom / 1.5);
    else if (event.key === "0") zoomTo(1);
    else if (moves && view.zoom > 1) {
      view.x += (moves[0] * 12) / view.zoom;
      view.y += (moves[1] * 12) / view.zoom;
      show();
    } else return;
    event.preventDefault();
  });
}
