"use strict";
(() => {
  const table = document.getElementById("kills");
  if (!table) return;
  const body = table.tBodies[0], rows = Array.from(body.rows), heads = Array.from(table.tHead.rows[0].cells);
  const key = (row, i) => row.cells[i].dataset.sort ?? row.cells[i].textContent;
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : a.localeCompare(b);
  };
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((a, b) => compare(key(a, i), key(b, i)) * (down ? -1 : 1));
      body.append(...rows);
    });
  });
  const filter = document.getElementById("filter"), shown = document.getElementById("shown");
  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((w) => text.includes(w));
      if (!row.hidden) n++;
    }
    shown.textContent = words.length ? n + " of " + rows.length : "";
  };
  filter.addEventListener("input", apply);
  filter.closest("p").hidden = false;
  // A link to a kill opens what is folded away there.
  const open = () => {
    const at = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    const all = at && at.querySelector("details.all");
    if (all) all.open = true;
  };
  window.addEventListener("hashchange", open);
  open();
})();
