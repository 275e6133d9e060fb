// What differs in prompt, seed or noise level is chosen by a selector for each of them; columns of pictures by buttons.

function setUpFacets(box) {
  const facets = box.dataset.facets.split(" "), chosen = {};
  const items = [...box.children].filter((item) => facets.some((facet) => facet in item.dataset));
  const controls = makeControls();
  function update() {
    for (const item of items)
      item.hidden = facets.some((facet) => chosen[facet] && item.dataset[facet] !== undefined && item.dataset[facet] !== chosen[facet]);
  }
  for (const facet of facets) {
    const values = [...new Set(items.map((item) => item.dataset[facet]).filter((value) => value !== undefined))];
    if (values.length < 2) continue;
    const select = document.createElement("select"), label = document.createElement("label");
    select.append(new Option(`all ${values.length}`, ""), ...values.map((value) => new Option(value, value)));
    select.name = facet;
    select.addEventListener("change", () => {
      chosen[facet] = select.value;
      update();
    });
    select.value = chosen[facet] = facet === "prompt" ? "" : values[0];
    label.append(facet, select);
    controls.append(label);
  }
  update();
  if (controls.children.length) box.prepend(controls);
}

function setUpColumns(gallery) {
  const columns = [...new Set([...gallery.querySelectorAll(".cell")].map((cell) => cell.dataset.column))];
  if (columns.length < 3) return;
  const buttons = columns.map((column) => {
    const button = makeButton(column, () => {
      const isShown = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!isShown));
      for (const cell of gallery.querySelectorAll(".cell")) if (cell.dataset.column === column) cell.hidden = isShown;
    });
    button.setAttribute("aria-pressed", "true");
    return button;
  });
  const controls = makeControls("columns", ...buttons);
  controls.setAttribute("role", "group");
  controls.setAttribute("aria-label", "columns of pictures");
  gallery.prepend(controls);
}
