/* Finds pages by the beginnings of words. Without this script the page is a plain index of links. */
(function () {
  "use strict";
  var data = window.reportgenIndex;
  var form = document.getElementById("find");
  var field = document.getElementById("words");
  var list = document.getElementById("found");
  var all = document.getElementById("all");
  var count = document.getElementById("count");
  var MOST = 60;
  if (!data || !form) return;

  function plain(text) {
    return text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  }

  function split(text) {
    return plain(text).split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  }

  var entries = data.entries.map(function (one) {
    return { kind: data.kinds[one[0]], title: one[1], words: one[2], href: one[3] };
  });
  data.units.forEach(function (layer) {
    layer.units.forEach(function (unit) {
      var name = layer.names[unit];
      var title = name ? name + ", unit " + unit : "unit " + unit;
      entries.push({ kind: "unit", title: title, words: layer.layer + " of " + layer.net, href: layer.at + unit + ".html" });
    });
  });
  entries.forEach(function (one) {
    one.first = split(one.title);
    one.rest = split(one.words + " " + one.kind);
  });

  /* Every word asked for must begin a word of the entry; whole words and words of the title count more. */
  function score(one, asked) {
    var total = 0;
    for (var i = 0; i < asked.length; i++) {
      var best = 0;
      one.first.forEach(function (word) {
        if (word === asked[i]) best = Math.max(best, 8);
        else if (word.indexOf(asked[i]) === 0) best = Math.max(best, 5);
      });
      one.rest.forEach(function (word) {
        if (word === asked[i]) best = Math.max(best, 3);
        else if (word.indexOf(asked[i]) === 0) best = Math.max(best, 2);
      });
      if (!best) return 0;
      total += best;
    }
    return total + (one.kind === "unit" ? 0 : 1) - one.first.length / 100;
  }

  function show() {
    var asked = split(field.value);
    var hash = asked.length ? "#q=" + encodeURIComponent(field.value) : "#";
    if (location.hash !== hash && (asked.length || location.hash)) history.replaceState(null, "", hash);
    list.textContent = "";
    list.hidden = !asked.length;
    all.hidden = asked.length > 0;
    count.textContent = "";
    if (!asked.length) return;
    var found = entries
      .map(function (one, place) { return { one: one, place: place, score: score(one, asked) }; })
      .filter(function (one) { return one.score > 0; })
      .sort(function (a, b) { return b.score - a.score || a.place - b.place; });
    found.slice(0, MOST).forEach(function (hit) {
      var item = document.createElement("li");
      var link = document.createElement("a");
      var words = document.createElement("small");
      link.href = hit.one.href;
      link.textContent = hit.one.title;
      words.textContent = hit.one.kind + (hit.one.words ? " · " + hit.one.words : "");
      item.append(link, " ", words);
      list.append(item);
    });
    count.textContent = found.length > MOST ? found.length + " found, the first " + MOST + " shown"
      : found.length === 0 ? "Nothing found. Fewer letters find more." : found.length + " found";
  }

  function move(step) {
    var links = Array.prototype.slice.call(list.querySelectorAll("a"));
    var at = links.indexOf(document.activeElement) + step;
    if (at < 0) field.focus();
    else if (at < links.length) links[at].focus();
  }

  form.hidden = false;
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    var first = list.querySelector("a");
    if (first) location.href = first.href;
  });
  field.addEventListener("input", show);
  document.addEventListener("keydown", function (event) {
    var inside = event.target === field || list.contains(event.target);
    if (!inside) return;
    if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else if (event.key === "Escape" && event.target !== field) field.focus();
    else return;
    event.preventDefault();
  });
  function read() {
    var match = /^#q=(.*)$/.exec(location.hash);
    try {
      if (match) field.value = decodeURIComponent(match[1]);
    } catch (error) {
      /* a broken address asks for nothing */
    }
    show();
  }
  addEventListener("hashchange", read);
  read();
  field.focus();
})();
