/* Tables that sort by a click on a column's name, and lines that can be copied. Nothing is missing without it. */
(function () {
  "use strict";

  /* The number that a cell begins with, however people write it; null for words. */
  function value(text) {
    var match = /^[~<>≈]?\s*([-−+]?[\d,]*\.?\d+(?:e[-−+]?\d+)?)\s*([kMGT%]?)/i.exec(text.trim());
    if (!match) return null;
    var factor = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 }[match[2]] || 1;
    return parseFloat(match[1].replace(/−/g, "-").replace(/,/g, "")) * factor;
  }

  document.querySelectorAll("table.sortable").forEach(function (table) {
    var body = table.tBodies[0];
    if (!table.tHead || !body || body.rows.length < 3) return;
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
      if (!head.textContent.trim()) return;
      var button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      while (head.firstChild) button.append(head.firstChild);
      head.append(button);
      button.addEventListener("click", function () {
        var up = head.getAttribute("aria-sort") !== "ascending";
        var rows = Array.prototype.map.call(body.rows, function (row, place) {
          var text = row.cells[column] ? row.cells[column].textContent : "";
          return { row: row, place: place, text: text, value: value(text) };
        });
        rows.sort(function (a, b) {
          if ((a.value === null) !== (b.value === null)) return a.value === null ? 1 : -1;
          var order = a.value !== null ? a.value - b.value : a.text.localeCompare(b.text);
          return (up ? order : -order) || a.place - b.place;
        });
        rows.forEach(function (one) { body.append(one.row); });
        Array.prototype.forEach.call(table.tHead.rows[0].cells, function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
      });
    });
  });

  var line = document.getElementById("citation");
  if (line && navigator.clipboard) {
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(line.textContent).then(
        function () { button.textContent = "Copied"; },
        function () { getSelection().selectAllChildren(line); }
      );
    });
    line.after(button);
  }
})();
