/* A map of points to zoom, move and read. Without scripts the picture of it stands there. */
(function () {
  "use strict";
  var data = window.reportgenMap;
  var place = document.getElementById("map");
  if (!data || !place) return;
  var count = data.points.length / 2;
  var canvas = document.createElement("canvas");
  var pen = canvas.getContext("2d");
  var bar = document.createElement("p");
  var said = document.createElement("p");
  var atlas = null;
  var zoom = 1, left = 0, top = 0, chosen = -1, wide = 0;
  if (!pen) return;
  canvas.tabIndex = 0;
  canvas.className = "map";
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", place.dataset.label + " Plus and minus zoom, arrows move, n and p go through the points near the middle.");
  said.className = "note";
  said.setAttribute("role", "status");
  bar.className = "steps";
  [["Closer", 1.5], ["Farther", 1 / 1.5], ["Whole map", 0]].forEach(function (pair) {
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = pair[0];
    button.addEventListener("click", function () {
      if (pair[1]) scale(pair[1], wide / 2, wide / 2);
      else { zoom = 1; left = top = 0; paint(); }
    });
    bar.append(button);
  });

  function at(index) {
    var edge = 0.03 * wide, span = wide - 2 * edge;
    return [
      (edge + data.points[2 * index] / data.side * span - left) * zoom,
      (wide - edge - data.points[2 * index + 1] / data.side * span - top) * zoom
    ];
  }

  function paint() {
    var dense = window.devicePixelRatio || 1;
    wide = place.clientWidth;
    canvas.width = canvas.height = Math.round(wide * dense);
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, wide, wide);
    var pictures = atlas && zoom >= 3;
    var side = Math.min(64, 8 * zoom);
    var radius = Math.min(7, 2.6 + zoom / 2);
    for (var i = 0; i < count; i++) {
      var xy = at(i), group = data.groups[i];
      if (xy[0] < -40 || xy[1] < -40 || xy[0] > wide + 40 || xy[1] > wide + 40) continue;
      pen.fillStyle = group < 0 ? "#bbbbbb" : data.colors[group];
      if (pictures) {
        pen.fillRect(xy[0] - side / 2 - 2, xy[1] - side / 2 - 2, side + 4, side + 4);
        thumb(i, xy[0] - side / 2, xy[1] - side / 2, side);
      } else {
        pen.beginPath();
        pen.arc(xy[0], xy[1], radius, 0, 7);
        pen.fill();
      }
    }
    if (chosen >= 0) mark(chosen);
  }

  function thumb(index, x, y, side) {
    var tile = data.atlas.tile, across = data.atlas.across;
    pen.drawImage(atlas, index % across * tile, Math.floor(index / across) * tile, tile, tile, x, y, side, side);
  }

  function mark(index) {
    var xy = at(index);
    pen.strokeStyle = "#1a1a1a";
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(xy[0], xy[1], 9, 0, 7);
    pen.stroke();
    if (!atlas) return;
    var side = 96;
    var x = Math.min(Math.max(xy[0] + 14, 2), wide - side - 2), y = Math.min(Math.max(xy[1] - side - 10, 2), wide - side - 2);
    pen.fillStyle = "#1a1a1a";
    pen.fillRect(x - 2, y - 2, side + 4, side + 4);
    thumb(index, x, y, side);
  }

  function name(index) {
    var group = data.groups[index];
    return "Picture " + (index + 1) + " of " + count + ": " + (group < 0 ? "class unknown" : data.names[group]);
  }

  function choose(index) {
    if (index === chosen) return;
    chosen = index;
    said.textContent = index < 0 ? "" : name(index);
    paint();
  }

  function nearest(x, y, reach) {
    var best = -1, least = reach * reach;
    for (var i = 0; i < count; i++) {
      var xy = at(i), away = (xy[0] - x) * (xy[0] - x) + (xy[1] - y) * (xy[1] - y);
      if (away < least) { least = away; best = i; }
    }
    return best;
  }

  function scale(by, x, y) {
    var next = Math.min(40, Math.max(1, zoom * by));
    left += x / zoom - x / next;
    top += y / zoom - y / next;
    zoom = next;
    hold();
    paint();
  }

  function hold() {
    var most = wide - wide / zoom;
    left = Math.min(Math.max(left, 0), most);
    top = Math.min(Math.max(top, 0), most);
  }

  function where(event) {
    var box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  var held = null;
  canvas.addEventListener("wheel", function (event) {
    if (!event.ctrlKey && document.activeElement !== canvas) return;
    event.preventDefault();
    var xy = where(event);
    scale(event.deltaY < 0 ? 1.2 : 1 / 1.2, xy[0], xy[1]);
  }, { passive: false });
  canvas.addEventListener("pointerdown", function (event) { held = where(event); canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", function () { held = null; });
  canvas.addEventListener("pointermove", function (event) {
    var xy = where(event);
    if (!held) return choose(nearest(xy[0], xy[1], 24));
    left -= (xy[0] - held[0]) / zoom;
    top -= (xy[1] - held[1]) / zoom;
    held = xy;
    hold();
    paint();
  });
  canvas.addEventListener("pointerleave", function () { if (document.activeElement !== canvas) choose(-1); });
  var order = [], turn = -1;
  canvas.addEventListener("keydown", function (event) {
    var step = wide / 8 / zoom;
    if (event.key === "+" || event.key === "=") scale(1.5, wide / 2, wide / 2);
    else if (event.key === "-") scale(1 / 1.5, wide / 2, wide / 2);
    else if (event.key === "0") { zoom = 1; left = top = 0; }
    else if (event.key === "ArrowLeft") left -= step;
    else if (event.key === "ArrowRight") left += step;
    else if (event.key === "ArrowUp") top -= step;
    else if (event.key === "ArrowDown") top += step;
    else if (event.key === "n" || event.key === "p") {
      if (turn < 0) {
        order = Array.from({ length: count }, function (_, i) { var xy = at(i); return [Math.hypot(xy[0] - wide / 2, xy[1] - wide / 2), i]; });
        order.sort(function (a, b) { return a[0] - b[0]; });
      }
      turn = Math.min(count - 1, Math.max(0, turn + (event.key === "n" ? 1 : -1)));
      choose(order[turn][1]);
      event.preventDefault();
      return;
    } else if (event.key === "Escape") { choose(-1); turn = -1; return; }
    else return;
    turn = -1;
    event.preventDefault();
    hold();
    paint();
  });

  var still = place.querySelector("img");
  var legend = document.createElement("p");
  legend.className = "legend";
  data.names.forEach(function (word, group) {
    var dot = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    dot.setAttribute("viewBox", "0 0 10 10");
    var disc = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    disc.setAttribute("cx", "5"); disc.setAttribute("cy", "5"); disc.setAttribute("r", "4.5"); disc.setAttribute("fill", data.colors[group]);
    dot.append(disc);
    var item = document.createElement("span");
    item.append(dot, word);
    legend.append(item);
  });
  still.hidden = true;
  place.append(canvas, bar, said, legend);
  if (place.dataset.atlas) {
    var picture = new Image();
    picture.onload = function () { atlas = picture; paint(); };
    picture.src = place.dataset.atlas;
  }
  addEventListener("resize", function () { hold(); paint(); });
  paint();
})();
