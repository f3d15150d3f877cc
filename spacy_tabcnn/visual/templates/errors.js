"use strict";
const form = document.querySelector("form"), shown = form.querySelector("output");
const list = document.getElementById("documents"), pages = document.querySelector("nav");
const boxes = [...form.querySelectorAll("input[type=checkbox]")];
const cells = [...document.querySelectorAll("button[data-cell]")];
const records = JSON.parse(document.getElementById("records").textContent);

// A text without the labels of its entities.
const readText = node => [...node.childNodes].map(part => (part.firstChild || part).textContent);
let position = 0;
const documents = [...list.children].map(node => ({
  node,
  text: [...node.querySelectorAll("h3, .text")].map(part => readText(part).join("")).join("\n")
    .toLowerCase(),
  items: [...node.querySelectorAll("li")].map(item => ({ node: item, ...records[position++] })),
}));
let cell = "", order = 0, page = 0, found = [];

// Findings without a score come last, in the order of the corpus.
function compareScores(one, other) {
  if (one.score === null || other.score === null) {
    return (one.score === null) - (other.score === null);
  }
  return order * (one.score - other.score);
}

// Order the findings of each document.
function arrange() {
  order = Number(form.elements.order.value);
  for (const part of documents) {
    part.ordered = order ? [...part.items].sort(compareScores) : part.items;
    part.node.querySelector("ul").append(...part.ordered.map(item => item.node));
  }
}

function select({ text, ordered }, counts) {
  const { query, label } = form.elements;
  const chosen = new Set(boxes.filter(box => box.checked).map(box => box.value));
  const matches = text.includes(query.value.trim().toLowerCase());
  return ordered.filter(item => {
    const { kind, labels, cell: own } = item.node.dataset;
    const fits = matches && (!label.value || labels.split(" ").includes(label.value));
    if (fits) counts[kind] = (counts[kind] || 0) + 1;
    // A cell of the table has one kind of findings, whatever kinds are chosen.
    const visible = fits && (cell ? own === cell : chosen.has(kind));
    item.node.hidden = !visible;
    return visible;
  });
}

function update() {
  const counts = {};
  found = [];
  if (Number(form.elements.order.value) !== order) arrange();
  for (const part of documents) {
    const items = select(part, counts);
    if (items.length) found.push({ node: part.node, items });
  }
  if (order) found.sort((one, other) => compareScores(one.items[0], other.items[0]));
  for (const box of boxes) box.parentNode.querySelector("b").textContent = counts[box.value] || 0;
  for (const button of cells) button.ariaPressed = String(button.dataset.cell === cell);
  const total = found.reduce((sum, part) => sum + part.items.length, 0);
  shown.textContent = `Shown: ${total} in ${found.length} documents`;
  turn(0);
}

// Show one page of the documents that are found.
function turn(number) {
  const size = Number(form.elements.size.value) || found.length || 1;
  const last = Math.max(Math.ceil(found.length / size) - 1, 0);
  page = number;
  const visible = found.slice(page * size, (page + 1) * size).map(part => part.node);
  for (const { node } of documents) node.hidden = true;
  for (const node of visible) node.hidden = false;
  list.append(...visible);
  pages.hidden = last === 0;
  pages.querySelector("span").textContent = `Page ${page + 1} of ${last + 1}`;
  const [previous, next] = pages.querySelectorAll("button");
  previous.disabled = page === 0;
  next.disabled = page === last;
}

// CSV. A program for tables runs a text that begins like a formula, so such a text is quoted.
function writeCell(value) {
  let text = String(value ?? "");
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
function listFields(side, item) {
  const { label, text, start, end, head, tail } = item || {};
  return {
    [`${side}_label`]: label, [`${side}_text`]: text, [`${side}_start`]: start,
    [`${side}_end`]: end, [`${side}_head`]: head?.text, [`${side}_head_label`]: head?.label,
    [`${side}_tail`]: tail?.text, [`${side}_tail_label`]: tail?.label,
  };
}
function flatten({ document, id, unit, kind, score, gold, predicted }) {
  const sides = { ...listFields("gold", gold), ...listFields("predicted", predicted) };
  return { document, id, unit, kind, score, ...sides };
}
function writeCsv(rows) {
  const lines = rows.map(flatten);
  const header = Object.keys(flatten({}));
  return [header, ...lines.map(Object.values)].map(line => `${line.map(writeCell)}\r\n`).join("");
}
function save(format) {
  const rows = found.flatMap(part => part.items).map(({ node, ...record }) => record);
  const text = format === "csv" ? writeCsv(rows) : JSON.stringify(rows, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `text/${format};charset=utf-8` }));
  link.download = `findings.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

for (const button of cells) {
  button.addEventListener("click", () => {
    cell = cell === button.dataset.cell ? "" : button.dataset.cell;
    update();
    if (cell) form.scrollIntoView();
  });
}
for (const button of pages.querySelectorAll("button")) {
  button.addEventListener("click", () => {
    turn(page + Number(button.dataset.step));
    list.scrollIntoView();
  });
}
for (const button of form.querySelectorAll("[data-export]")) {
  button.addEventListener("click", () => save(button.dataset.export));
}
form.addEventListener("input", update);
form.addEventListener("reset", () => {
  cell = "";
  setTimeout(update); // after the fields have their first values again
});
form.addEventListener("submit", event => event.preventDefault());
arrange();
update();
