/* Compare: a net per column, rows as chosen; the state is in the address, so that a view can be sent. */
(function () {
  "use strict";
  var data = window.REPORTGEN_COMPARE;
  var here = document.getElementById("compare");
  if (!data || !here || !data.rows.length) return;
  var wall = document.getElementById("c-wall");
  var GAP = 2; // pixels between the tiles of a sheet, as drawn
  var MOST_TILES = 120;
  var MOST_ZOOM = 16;
  var NAMES = ["image", "section", "panel", "stage", "unit", "minus", "scale"];
  var field = {};
  NAMES.forEach(function (name) {
    field[name] = document.getElementById("c-" + name);
  });
  var boxes = Array.prototype.slice.call(document.querySelectorAll("#c-nets input"));
  var state = {};
  var view = { z: 1, x: 0.5, y: 0.5 };

  function make(tag, attributes, children) {
    var made = document.createElement(tag);
    Object.keys(attributes || {}).forEach(function (name) {
      if (attributes[name] !== undefined) made.setAttribute(name, attributes[name]);
    });
    (children || []).forEach(function (child) {
      if (child !== null && child !== "") made.append(child);
    });
    return made;
  }

  function unique(values) {
    return values.filter(function (value, place) {
      return values.indexOf(value) === place;
    });
  }

  function indexOf(list, id) {
    for (var place = 0; place < list.length; place++) if (list[place].id === id) return place;
    return -1;
  }

  /* ------------------------------------------------------------------------------------------ the state and the address */

  function read() {
    var asked = new URLSearchParams(location.hash.slice(1));
    NAMES.forEach(function (name) {
      state[name] = asked.get(name) || "";
    });
    var nets = (asked.get("nets") || "").split(",").map(function (id) {
      return indexOf(data.models, id);
    });
    state.nets = nets.filter(function (mark) {
      return mark >= 0;
    });
    if (!state.nets.length) {
      state.nets = data.models.map(function (_, mark) {
        return mark;
      });
    }
    var zoom = (asked.get("zoom") || "").split(",").map(Number);
    view = { z: zoom[0] || 1, x: zoom.length > 2 ? zoom[1] : 0.5, y: zoom.length > 2 ? zoom[2] : 0.5 };
    settle();
  }

  function address() {
    var words = new URLSearchParams();
    NAMES.forEach(function (name) {
      if (state[name]) words.set(name, state[name]);
    });
    if (state.nets.length < data.models.length) {
      words.set("nets", state.nets.map(function (mark) { return data.models[mark].id; }).join(","));
    }
    if (view.z > 1) {
      words.set("zoom", [view.z, view.x, view.y].map(function (value) { return +value.toFixed(4); }).join(","));
    }
    return "#" + words.toString().replace(/%2C/g, ",").replace(/%2A/g, "*");
  }

  var waiting = 0;

  /* A choice is a step that the Back button takes back; a zoom is none, and is written when it has come to rest. */
  function write(step) {
    clearTimeout(waiting);
    if (step) location.hash = address();
    else waiting = setTimeout(function () { history.replaceState(null, "", address()); }, 150);
  }

  /* ----------------------------------------------------------------------------------------------------- what is chosen */

  function imageRows() {
    var place = state.image === "none" ? -1 : indexOf(data.images, state.image);
    return data.rows.filter(function (row) {
      return row.image === place;
    });
  }

  function sectionRows() {
    var rows = imageRows();
    if (state.section === "*") {
      return rows.filter(function (row) { return row.featured; });
    }
    var place = indexOf(data.sections, state.section);
    return rows.filter(function (row) { return row.section === place; });
  }

  function panelRows() {
    if (state.section === "*" || state.panel === "*") return sectionRows();
    return sectionRows().filter(function (row) { return row.panel === state.panel; });
  }

  function shownRows() {
    return panelRows().filter(function (row) { return !state.stage || row.label === state.stage; });
  }

  function differs(row) {
    return Object.keys(row.differences || {}).some(function (pair) { return row.differences[pair].file; });
  }

  /* Fills what was not chosen, and drops what does not exist. */
  function settle() {
    var known = data.images.filter(function (_, place) {
      return data.rows.some(function (row) { return row.image === place; });
    });
    if (state.image !== "none" && indexOf(known, state.image) < 0) state.image = known.length ? known[0].id : "none";
    if (!imageRows().length) state.image = known.length ? known[0].id : "none";
    var rows = imageRows();
    var sections = unique(rows.map(function (row) { return data.sections[row.section].id; }));
    if (state.section !== "*" && sections.indexOf(state.section) < 0) {
      var telling = rows.filter(function (row) { return row.featured && differs(row); });
      state.section = data.sections[(telling[0] || rows[0]).section].id;
    }
    var panels = sectionRows().map(function (row) { return row.panel; });
    if (state.panel !== "*" && panels.indexOf(state.panel) < 0) {
      var best = sectionRows().filter(function (row) { return row.featured; });
      state.panel = (best[0] || sectionRows()[0] || { panel: "" }).panel;
    }
    var stages = panelRows().map(function (row) { return row.label; });
    if (stages.indexOf(state.stage) < 0) state.stage = "";
    if (state.unit && !(+state.unit >= 1 && +state.unit <= mostUnits())) state.unit = "";
    var pair = state.minus.split(",").map(function (id) { return indexOf(data.models, id); });
    var offered = pairs().some(function (one) { return one[0] === pair[0] && one[1] === pair[1]; });
    if (!offered) state.minus = "";
    if (state.scale !== "own" || !hasOwn()) state.scale = "";
    view.z = +Math.min(MOST_ZOOM, Math.max(1, view.z || 1)).toFixed(4);
    clamp();
  }

  function tilesShown() {
    var found = [];
    shownRows().forEach(function (row) {
      state.nets.forEach(function (mark) {
        if (row.tiles && row.tiles[mark]) found.push(row.tiles[mark]);
      });
    });
    return found;
  }

  function mostUnits() {
    return Math.max.apply(null, [0].concat(tilesShown().map(function (tile) { return (tile.rows || []).length; })));
  }

  function hasOwn() {
    return tilesShown().some(function (tile) { return tile.own; });
  }

  function pairs() {
    var found = [];
    shownRows().forEach(function (row) {
      Object.keys(row.differences || {}).forEach(function (key) { found.push(key); });
    });
    return unique(found)
      .map(function (key) { return key.split("-").map(Number); })
      .filter(function (pair) { return state.nets.indexOf(pair[0]) >= 0 && state.nets.indexOf(pair[1]) >= 0; })
      .sort(function (one, other) { return one[0] - other[0] || one[1] - other[1]; });
  }

  /* -------------------------------------------------------------------------------------------------------- the choices */

  function fill(name, options) {
    var select = field[name];
    select.replaceChildren.apply(select, options.map(function (option) {
      var made = make("option", { value: option[0] }, [option[1]]);
      made.selected = option[0] === state[name];
      return made;
    }));
    select.parentElement.hidden = options.length < 2;
  }

  function choices() {
    var known = data.images.filter(function (_, place) {
      return data.rows.some(function (row) { return row.image === place; });
    }).map(function (image) { return [image.id, image.name]; });
    if (data.rows.some(function (row) { return row.image < 0; })) known.push(["none", "no single image"]);
    fill("image", known);
    var sections = unique(imageRows().map(function (row) { return row.section; }));
    var methods = sections.map(function (place) { return [data.sections[place].id, data.sections[place].title]; });
    fill("section", methods.concat(methods.length > 1 ? [["*", "all methods, one picture of each"]] : []));
    var panels = state.section === "*" ? [] : unique(sectionRows().map(function (row) { return row.panel; }));
    fill("panel", panels.map(function (panel) {
      var first = sectionRows().filter(function (row) { return row.panel === panel; })[0];
      return [panel, first.title];
    }).concat(panels.length > 1 ? [["*", "all pictures"]] : []));
    var stages = unique(panelRows().map(function (row) { return row.label; }));
    fill("stage", (stages.length > 1 ? [["", "all"]] : []).concat(stages.map(function (stage) {
      return [stage, stage || "none"];
    })));
    var units = [["", "all"]];
    for (var place = 1; place <= mostUnits(); place++) units.push(["" + place, unitName(place)]);
    fill("unit", units);
    fill("minus", [["", "none"]].concat(pairs().map(function (pair) {
      var both = pair.map(function (mark) { return data.models[mark]; });
      return [both[0].id + "," + both[1].id, both[0].name + " − " + both[1].name];
    })));
    field.scale.value = state.scale;
    field.scale.parentElement.hidden = !hasOwn();
    boxes.forEach(function (box) { box.checked = state.nets.indexOf(+box.value) >= 0; });
  }

  function unitName(place) {
    var names = unique(tilesShown().map(function (tile) { return (tile.rows || [])[place - 1]; }).filter(Boolean));
    return place + ": " + names.slice(0, 3).join(", ") + (names.length > 3 ? " …" : "");
  }

  /* ----------------------------------------------------------------------------------------------------------- the wall */

  function picture(tile, caption, own) {
    var rows = (tile.rows || []).length;
    var side = (tile.size[1] - GAP * (rows - 1)) / Math.max(1, rows);
    var cut = state.unit && rows >= +state.unit;
    var image = make("img", {
      src: own ? tile.own.file : tile.file, alt: tile.alt, width: tile.size[0], height: tile.size[1],
      loading: "lazy", decoding: "async", draggable: "false",
    });
    var link = make("a", { class: "t view", href: own ? tile.own.file : tile.file, "data-caption": caption,
      draggable: "false" }, [image]);
    var height = cut ? side : tile.size[1];
    link.style.aspectRatio = tile.size[0] + " / " + height;
    image.style.width = "100%";
    image.dataset.share = height / tile.size[1]; // of the picture's height that is in sight
    image.dataset.above = cut ? ((state.unit - 1) * (side + GAP)) / tile.size[1] : 0;
    return link;
  }

  function limits(map, ends) {
    return make("span", { class: "limits" }, [
      make("i", {}, [ends[0]]), make("b", { class: map, "aria-hidden": "true" }), make("i", {}, [ends[1]]),
    ]);
  }

  function cell(row, mark) {
    var net = data.models[mark];
    var tile = (row.tiles || {})[mark];
    var column = { "data-column": net.name, class: "m" + (net.mark % 6) };
    if (!tile) return make("td", column, [make("p", { class: "none" }, ["This net is not part of the section."])]);
    if (!tile.file) return make("td", column, [make("p", { class: "none" }, [tile.reason])]);
    var own = state.scale === "own" && tile.own;
    var unit = state.unit ? tile.rows[state.unit - 1] || "" : "";
    var words = [unit, tile.note, own ? "own scale" : tile.rule].filter(Boolean).join(" · ");
    return make("td", column, [
      picture(tile, net.name + ": " + row.caption, own),
      tile.map ? limits(tile.map, own ? tile.own.limits : tile.limits) : null,
      words ? make("small", {}, [words]) : null,
    ]);
  }

  function minusCell(row, pair) {
    var both = pair.map(function (mark) { return data.models[mark].name; });
    var found = (row.differences || {})[pair.join("-")];
    var name = both[0] + " − " + both[1];
    if (!found || !found.file) {
      var reason = found ? found.reason : "No difference: these numbers cannot be compared between nets.";
      return make("td", { "data-column": name }, [make("p", { class: "none" }, [reason])]);
    }
    var like = row.tiles[pair[0]];
    var how = "Red: more in " + both[0] + "; blue: more in " + both[1] + "; without colour: equal.";
    return make("td", { "data-column": name }, [
      picture({ file: found.file, alt: found.alt, size: like.size }, name + ". " + how, false),
      limits("two", row.limits),
      make("small", {}, [how]),
    ]);
  }

  function head(row, first) {
    var section = data.sections[row.section];
    var image = data.images[row.image];
    var photo = !first || !image ? null : make("a", { href: "image/" + image.id + ".html" }, [
      make("img", { class: "photo", src: image.photo, alt: "The photo: " + image.name, width: 448, height: 448 }),
    ]);
    var words = state.section === "*" || state.panel === "*" ? row.title : "";
    return make("th", { scope: "row" }, [
      photo,
      state.section === "*" ? make("a", { href: section.href }, [section.title]) : null,
      words && words !== section.title ? make("small", {}, [words]) : null,
      row.label,
      row.columns ? make("small", {}, ["Columns: " + row.columns]) : null,
    ]);
  }

  function draw() {
    var all = shownRows();
    var pair = state.minus ? state.minus.split(",").map(function (id) { return indexOf(data.models, id); }) : null;
    var columns = state.nets.length + (pair ? 1 : 0);
    var rows = all.slice(0, Math.max(1, Math.floor(MOST_TILES / columns)));
    var image = indexOf(data.images, state.image);
    var heads = state.nets.map(function (mark) {
      var net = data.models[mark];
      var stranger = image >= 0 && data.images[image].outside.indexOf(mark) >= 0;
      return make("th", { scope: "col", class: "m" + (net.mark % 6) }, [
        make("a", { href: net.href }, [net.name]),
        stranger ? make("b", { class: "badge" }, ["what it shows is not among this net’s classes"]) : null,
      ]);
    });
    if (pair) {
      heads.push(make("th", { scope: "col", class: "minus" }, [
        data.models[pair[0]].name + " − " + data.models[pair[1]].name,
      ]));
    }
    var lines = rows.map(function (row, place) {
      if (row.joint) {
        return make("tr", {}, [head(row, place === 0), make("td", { class: "joint", colspan: columns }, [
          picture(row.joint, row.caption, false),
        ].concat(row.missing.map(function (words) { return make("p", { class: "none" }, [words]); })))]);
      }
      var cells = state.nets.map(function (mark) { return cell(row, mark); });
      return make("tr", {}, [head(row, place === 0)].concat(cells, pair ? [minusCell(row, pair)] : []));
    });
    var captions = unique(rows.map(function (row) { return row.caption; }));
    wall.replaceChildren(
      make("table", { class: "wall n" + columns + (columns < 4 ? " few" : "") }, [
        make("thead", {}, [make("tr", {}, [make("td")].concat(heads))]),
        make("tbody", {}, lines),
      ]),
      make("p", { class: "caption" }, [captions.length === 1 ? captions[0] : ""])
    );
    document.getElementById("c-said").textContent =
      (state.nets.length === 1 ? "1 net, " : state.nets.length + " nets, ") +
      (all.length === 1 ? "1 row" : all.length + " rows") +
      (rows.length < all.length ? ", of which the first " + rows.length + " are shown: choose a stage or a method." : ".");
    place();
  }

  /* ----------------------------------------------------------------------------------------------- zoom, of all columns */

  function clamp() {
    var half = 0.5 / view.z;
    ["x", "y"].forEach(function (axis) {
      var asked = isFinite(view[axis]) ? view[axis] : 0.5;
      view[axis] = +Math.min(1 - half, Math.max(half, asked)).toFixed(4); // as the address has it
    });
  }

  function place() {
    clamp();
    var left = view.x - 0.5 / view.z;
    var top = view.y - 0.5 / view.z;
    Array.prototype.forEach.call(wall.querySelectorAll(".view img"), function (image) {
      var down = top * image.dataset.share + +image.dataset.above;
      image.style.transform =
        "scale(" + view.z + ") translate(" + -100 * left + "%, " + -100 * down + "%)";
    });
    wall.classList.toggle("zoomed", view.z > 1);
    wall.classList.toggle("crisp", view.z >= 2);
    document.getElementById("c-zoomed").textContent = view.z > 1 ? "× " + view.z.toFixed(1) : "";
    Array.prototype.forEach.call(document.querySelectorAll("[data-zoom]"), function (button) {
      var off = button.dataset.zoom === "in" ? view.z >= MOST_ZOOM : view.z <= 1;
      button.setAttribute("aria-disabled", off ? "true" : "false");
    });
  }

  /* Zooms so that the point at x, y of the view (0 to 1) stays where it is. */
  function zoom(times, x, y) {
    var z = Math.min(MOST_ZOOM, Math.max(1, view.z * times));
    view.x += (x - 0.5) * (1 / view.z - 1 / z);
    view.y += (y - 0.5) * (1 / view.z - 1 / z);
    view.z = z < 1.02 ? 1 : +z.toFixed(4);
    place();
    write(false);
  }

  function move(x, y) {
    view.x += x / view.z;
    view.y += y / view.z;
    place();
    write(false);
  }

  function act(what) {
    if (what === "in") zoom(1.5, 0.5, 0.5);
    else if (what === "out") zoom(1 / 1.5, 0.5, 0.5);
    else if (what === "all") zoom(0, 0.5, 0.5);
    else if (what === "left") move(-0.2, 0);
    else if (what === "right") move(0.2, 0);
    else if (what === "up") move(0, -0.2);
    else if (what === "down") move(0, 0.2);
  }

  here.addEventListener("click", function (event) {
    var button = event.target.closest("[data-zoom]");
    if (button) act(button.dataset.zoom);
  });

  wall.addEventListener("keydown", function (event) {
    if (!event.target.closest(".view") || event.ctrlKey || event.metaKey || event.altKey) return;
    var what = { "+": "in", "=": "in", "-": "out", "0": "all" }[event.key];
    if (!what && view.z > 1) {
      what = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" }[event.key];
    }
    if (!what) return;
    event.preventDefault();
    event.stopPropagation(); // else the arrows would go on to the next picture
    act(what);
  });

  function at(event, box) {
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  wall.addEventListener("wheel", function (event) {
    var frame = event.target.closest(".view");
    if (!frame || !event.ctrlKey) return;
    event.preventDefault();
    var point = at(event, frame.getBoundingClientRect());
    zoom(Math.exp(-Math.max(-100, Math.min(100, event.deltaY)) / 200), point[0], point[1]);
  }, { passive: false });

  var fingers = {};
  var dragged = false;

  wall.addEventListener("pointerdown", function (event) {
    var frame = event.target.closest(".view");
    if (!frame || event.button) return;
    if (!Object.keys(fingers).length) dragged = false;
    fingers[event.pointerId] = { x: event.clientX, y: event.clientY, frame: frame };
  });

  window.addEventListener("pointermove", function (event) {
    var finger = fingers[event.pointerId];
    if (!finger) return;
    var box = finger.frame.getBoundingClientRect();
    var others = Object.keys(fingers).filter(function (id) { return id !== "" + event.pointerId; });
    var x = event.clientX - finger.x;
    var y = event.clientY - finger.y;
    if (others.length) {
      var other = fingers[others[0]];
      var before = Math.hypot(finger.x - other.x, finger.y - other.y);
      var after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
      var middle = { clientX: (event.clientX + other.x) / 2, clientY: (event.clientY + other.y) / 2 };
      var point = at(middle, box);
      if (before > 0) zoom(after / before, point[0], point[1]);
      dragged = true;
    } else if (view.z > 1 && (dragged || Math.hypot(x, y) > 3)) {
      move(-x / box.width, -y / box.height);
      dragged = true;
    } else {
      return;
    }
    finger.x = event.clientX;
    finger.y = event.clientY;
  });

  ["pointerup", "pointercancel"].forEach(function (name) {
    window.addEventListener(name, function (event) { delete fingers[event.pointerId]; });
  });

  wall.addEventListener("click", function (event) {
    if (!dragged) return;
    dragged = false; // the end of a drag is no click
    event.preventDefault();
    event.stopPropagation();
  }, true);
  wall.addEventListener("dragstart", function (event) { event.preventDefault(); });

  /* ---------------------------------------------------------------------------------------------------------- beginning */

  NAMES.forEach(function (name) {
    field[name].addEventListener("change", function () {
      state[name] = field[name].value;
      change();
    });
  });
  boxes.forEach(function (box) {
    box.addEventListener("change", function () {
      var chosen = boxes.filter(function (one) { return one.checked; });
      if (!chosen.length) box.checked = true; // one net stays
      else state.nets = chosen.map(function (one) { return +one.value; });
      change();
    });
  });
  document.querySelector(".choices").addEventListener("submit", function (event) { event.preventDefault(); });

  function change() {
    settle();
    choices();
    draw();
    write(true);
  }

  window.addEventListener("hashchange", function () {
    if (location.hash === address()) return;
    read();
    choices();
    draw();
  });

  here.hidden = false;
  read();
  choices();
  draw();
})();
