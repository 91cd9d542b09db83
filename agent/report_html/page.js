"use strict";
// Zooms and searches flame graphs, unfolds everything for paper. The page is complete without it.

class Flame {
  constructor(svg) {
    this.svg = svg;
    this.blocks = [...svg.querySelectorAll(".block")].map((node) => ({
      node, x: parseFloat(node.getAttribute("x")), width: parseFloat(node.getAttribute("width")),
      row: parseFloat(node.getAttribute("y")) / 20, text: node.querySelector("title").textContent.toLowerCase(),
    }));
    this.root = this.blocks[0];
    this.at = this.focus = this.root;
    for (const block of this.blocks) {
      block.node.setAttribute("tabindex", block === this.root ? "0" : "-1");
      block.node.setAttribute("role", "button");
      block.node.addEventListener("click", () => this.zoom(block === this.at ? this.root : block));
      block.node.addEventListener("keydown", (event) => this.press(event, block));
    }
    svg.before(this.tools());
  }

  tools() {
    const tools = document.createElement("div");
    tools.className = "tools";
    const [out, find, said] = [document.createElement("button"), document.createElement("input"), document.createElement("span")];
    out.type = "button";
    out.textContent = "Show all";
    out.hidden = true;
    out.addEventListener("click", () => this.zoom(this.root));
    find.type = "search";
    find.placeholder = "Find a function or file";
    find.setAttribute("aria-label", "Find a function or file");
    find.addEventListener("input", () => this.search(find.value.trim().toLowerCase()));
    said.className = "quiet";
    said.setAttribute("role", "status");
    said.textContent = "Click or Enter zooms, Escape shows all, arrow keys walk.";
    [this.out, this.said] = [out, said];
    tools.append(find, out, said);
    return tools;
  }

  inside(block, outer) {
    return block.x >= outer.x - 0.01 && block.x + block.width <= outer.x + outer.width + 0.01;
  }

  zoom(outer) {
    const scale = 100 / outer.width;
    for (const block of this.blocks) {
      const above = block.row < outer.row && this.inside(outer, block);
      const shown = above || (block.row >= outer.row && this.inside(block, outer));
      block.node.setAttribute("visibility", shown ? "visible" : "hidden");
      block.node.setAttribute("x", above ? "0%" : `${(block.x - outer.x) * scale}%`);
      block.node.setAttribute("width", above ? "100%" : `${block.width * scale}%`);
    }
    this.at = outer;
    this.out.hidden = outer === this.root;
    this.walk(outer, document.activeElement?.closest(".flame") === this.svg);
  }

  search(text) {
    let found = 0;
    for (const block of this.blocks) {
      const is_found = text !== "" && block.text.includes(text);
      block.node.classList.toggle("found", is_found);
      found += is_found;
    }
    this.svg.classList.toggle("searched", text !== "");
    this.said.textContent = text === "" ? "" : `${found} found`;
  }

  press(event, block) {
    const step = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) this.walk(this.beside(block, ...step) ?? block, true);
    else if (event.key === "Enter" || event.key === " ") this.zoom(block);
    else if (event.key === "Escape") this.zoom(this.root);
    else return;
    event.preventDefault();
  }

  beside(block, down, right) {
    const shown = (one) => one.node.getAttribute("visibility") !== "hidden";
    const row = this.blocks.filter((one) => one.row === block.row + down && shown(one)).sort((a, b) => a.x - b.x);
    if (right) return row[row.indexOf(block) + right];
    if (down > 0) return row.filter((one) => this.inside(one, block)).sort((a, b) => b.width - a.width)[0];
    return row.find((one) => this.inside(block, one));
  }

  walk(block, focuses) {
    this.focus.node.setAttribute("tabindex", "-1");
    this.focus = block;
    block.node.setAttribute("tabindex", "0");
    if (focuses) block.node.focus();
  }
}

document.querySelectorAll(".flame").forEach((svg) => new Flame(svg));

// Paper shows what is folded: of endpoints, of the first requests, and the first graphs.
const PRINTED = ".endpoint details, .request:nth-of-type(-n+10) > details, .graph:nth-of-type(-n+4)";
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll(PRINTED)].filter((one) => !one.open);
  for (const one of opened) one.open = true;
});
addEventListener("afterprint", () => { for (const one of opened) one.open = false; });

// A link to a request unfolds it.
const unfold = () => document.getElementById(location.hash.slice(1))?.querySelector("details")?.setAttribute("open", "");
addEventListener("hashchange", unfold);
unfold();
