"use strict";
// Every run, sorted and filtered here: only a page of rows is ever in the document, so thousands stay fast.
(() => {
  const store = document.getElementById("trials-data");
  if (!store) return;
  const { columns, rows } = JSON.parse(store.textContent);
  const PAGE = 50;
  const table = document.getElementById("runs");
  const state = { sort: null, down: false, page: 0, shown: rows };
  const place = name => columns.findIndex(column => column.name === name);

  function text(value, column) {
    if (value === null || value === undefined) return "";
    if (typeof value !== "number") return String(value);
    return column.fixed === undefined ? String(Number(value.toPrecision(column.digits || 12))) : value.toFixed(column.fixed);
  }
  function filter() {
    const words = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const picked = [...document.querySelectorAll(".filters select")].map(s => [place(s.dataset.column), s.value]);
    state.shown = rows.filter(row =>
      picked.every(([at, value]) => !value || String(row[at]) === value) &&
      (!words.length || words.every(word =>
        row.some((value, at) => text(value, columns[at]).toLowerCase().includes(word)))));
    order();
  }
  function order() {
    if (state.sort !== null) {
      const at = state.sort, sign = state.down ? -1 : 1;
      const missing = value => value === null || value === undefined || value === "";
      state.shown = [...state.shown].sort((a, b) => { // what is missing comes last, up or down
        if (missing(a[at]) || missing(b[at])) return missing(a[at]) - missing(b[at]);
        return sign * (typeof a[at] === "number" && typeof b[at] === "number"
          ? a[at] - b[at] : String(a[at]).localeCompare(String(b[at])));
      });
    }
    state.page = 0;
    draw();
  }
  function draw() {
    const first = state.page * PAGE, last = Math.min(first + PAGE, state.shown.length);
    const body = table.tBodies[0];
    body.replaceChildren(...state.shown.slice(first, last).map(row => {
      const line = document.createElement("tr");
      row.forEach((value, at) => {
        const cell = line.insertCell();
        cell.textContent = text(value, columns[at]);
        if (columns[at].digits || columns[at].fixed !== undefined) cell.className = "number";
        if (columns[at].name === "status" && value !== "done") cell.className = "failed";
        if (columns[at].name === "message") { cell.className = "long"; cell.title = value || ""; }
      });
      return line;
    }));
    const some = state.shown.length === rows.length ? "" : ` (of ${rows.length})`;
    document.getElementById("rows-shown").textContent = state.shown.length
      ? `${first + 1} to ${last} of ${state.shown.length}${some}` : "no run is like that";
    document.getElementById("before").disabled = state.page === 0;
    document.getElementById("next").disabled = last >= state.shown.length;
  }

  const head = table.tHead.rows[0];
  columns.forEach((column, at) => {
    const cell = document.createElement("th");
    const button = document.createElement("button");
    cell.scope = "col";
    if (column.digits || column.fixed !== undefined) cell.className = "number";
    button.textContent = column.title;
    button.onclick = () => {
      state.down = state.sort === at && !state.down;
      state.sort = at;
      for (const other of head.cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      order();
    };
    cell.append(button);
    head.append(cell);
  });
  for (const select of document.querySelectorAll(".filters select")) {
    const at = place(select.dataset.column);
    const values = [...new Set(rows.map(row => String(row[at])))];
    select.append(...values.map(value => new Option(value, value)));
    select.onchange = filter;
  }
  document.getElementById("find").oninput = filter;
  document.getElementById("before").onclick = () => { state.page -= 1; draw(); };
  document.getElementById("next").onclick = () => { state.page += 1; draw(); };
  draw();
})();
