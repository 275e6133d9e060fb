"use strict";
// Tables: a head's button sorts, the field above filters, a row's button marks it in the charts.

const FEWEST_TO_FILTER = 8;
const COMPARISON = /^(.+?)(>=|<=|!=|=|>|<)(.+)$/;

function valueOf(cell) {
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = text === "" ? NaN : Number(text);
  return Number.isNaN(number) ? text : number;
}

function compared(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === typeof b) return a.localeCompare(b, "en", { numeric: true });
  return typeof a === "number" ? -1 : 1;
}

function sortBy(table, column) {
  const head = table.tHead.rows[0].cells[column], body = table.tBodies[0];
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
  rows.sort(([a], [b]) => (a === "" || b === "" ? (a === "") - (b === "") : sign * compared(a, b)));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  body.append(...rows.map(([, row]) => row));
}

function columnNamed(names, text) {
  const wanted = text.toLowerCase();
  const exact = names.findIndex((name) => name === wanted);
  return exact >= 0 ? exact : names.findIndex((name) => name.endsWith(wanted) || name.startsWith(wanted));
}

// Gives a test of rows: `word` is somewhere in the row, `column>=8` compares; a word that names no column is a word.
function testOf(names, word) {
  const [, left, sign, right] = COMPARISON.exec(word) ?? [];
  const column = left === undefined ? -1 : columnNamed(names, left);
  if (column < 0) return (row) => row.textContent.toLowerCase().includes(word.toLowerCase());
  return (row) => {
    const value = valueOf(row.cells[column]), number = Number(right);
    if (sign === "=" || sign === "!=") {
      const same = typeof value === "number" ? value === number : value.toLowerCase() === right.toLowerCase();
      return same === (sign === "=");
    }
    if (typeof value !== "number" || Number.isNaN(number)) return false;
    return { ">=": value >= number, "<=": value <= number, ">": value > number, "<": value < number }[sign];
  };
}

function filterBy(table, text, said) {
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim().toLowerCase());
  const tests = (text.match(/"[^"]*"|\S+/g) ?? []).map((word) => testOf(names, word.replaceAll('"', "")));
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) row.hidden = !tests.every((test) => test(row));
  const shown = rows.filter((row) => !row.hidden);
  said.textContent = `${shown.length} of ${rows.length} rows`;
  showOnly(rows, new Set(shown.map((row) => row.dataset.key)));
}

// What is filtered out of a table leaves the charts as well.
function showOnly(rows, kept) {
  const known = new Set(rows.map((row) => row.dataset.key).filter(Boolean));
  for (const mark of document.querySelectorAll("svg [data-key]"))
    if (known.has(mark.dataset.key)) mark.classList.toggle("out", !kept.has(mark.dataset.key));
}

function choose(key) {
  for (const each of document.querySelectorAll("[data-key]"))
    if (each.dataset.key === key) each.classList.toggle("chosen");
  for (const button of document.querySelectorAll("button.choose"))
    button.setAttribute("aria-pressed", button.closest("tr").classList.contains("chosen"));
  for (const chart of document.querySelectorAll(".chart"))
    chart.classList.toggle("has-chosen", chart.querySelector(".chosen") !== null);
}

function makeButton(text, action) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.addEventListener("click", action);
  return button;
}

function makeControls(...parts) {
  const controls = document.createElement("div");
  controls.className = "controls";
  controls.append(...parts);
  return controls;
}

function setUpTable(table) {
  const drawn = new Set([...document.querySelectorAll("svg [data-key]")].map((mark) => mark.dataset.key));
  for (const head of table.tHead.rows[0].cells) {
    const button = makeButton(head.textContent.trim(), () => sortBy(table, head.cellIndex));
    head.replaceChildren(button);
  }
  for (const row of table.tBodies[0].rows) {
    if (!row.dataset.key) continue;
    const button = makeButton("◎", () => choose(row.dataset.key));
    button.className = "choose";
    button.disabled = !drawn.has(row.dataset.key);
    button.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-label", `mark ${row.cells[0].textContent.trim()} in the charts`);
    row.cells[0].prepend(button);
  }
  if (table.tBodies[0].rows.length < FEWEST_TO_FILTER) return;
  const field = document.createElement("input"), said = document.createElement("output"), label = document.createElement("label");
  field.type = "search";
  field.placeholder = "words, or column>=8, column=value";
  field.addEventListener("input", () => filterBy(table, field.value, said));
  label.append("filter", field);
  table.closest(".scroll").before(makeControls(label, said));
  said.textContent = `${table.tBodies[0].rows.length} rows`;
}
