"""The rules and the few lines of script of the gallery page."""

from __future__ import annotations

STYLE = """\
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1b2430;--dim:#566272;--edge:#dde2e9;--link:#0b5cad;
--chip:#eef1f5}
@media (prefers-color-scheme:dark){:root{--page:#12161c;--card:#1a2029;--ink:#e8edf4;--dim:#a3afbf;--edge:#2e3845;
--link:#7db7f2;--chip:#252d38}}
*{box-sizing:border-box}
html{scroll-padding-top:7rem}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
header,main{max-width:1500px;margin:0 auto;padding:1rem 1.25rem 0}
h1{margin:.5rem 0 .25rem;font-size:1.7rem}
h2{margin:2rem 0 0;text-transform:capitalize}
h3{margin:0;font-size:1.1rem}
p{margin:.25rem 0;max-width:75ch}
a{color:var(--link)}
.bar{position:sticky;top:0;z-index:1;background:var(--page);border-bottom:1px solid var(--edge);margin-top:.5rem}
.bar>div{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;max-width:1500px;margin:0 auto;
padding:.6rem 1.25rem}
#search{flex:1 1 16rem;max-width:28rem;font:inherit;padding:.45rem .7rem;border:1px solid var(--edge);
border-radius:.5rem;background:var(--card);color:inherit}
nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem}
nav small,#count,.source,.note,dt,.legend{color:var(--dim)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr));gap:1rem;margin-top:.75rem;
align-items:start}
article{background:var(--card);border:1px solid var(--edge);border-radius:.75rem;padding:1rem 1.1rem;min-width:0}
article[hidden],section[hidden]{display:none}
article:target{outline:2px solid var(--link)}
.wide{overflow-x:auto;margin:.5rem 0}
.drawing svg{display:block;height:auto;max-width:100%}
math{font-family:"Cambria Math","STIX Two Math","STIX Math","Latin Modern Math",math;font-size:1.05rem;
width:max-content}
mtd{padding:.25em 0}
math[display=block]{text-align:left;margin:.2rem 0}
math[display=block]>mtable>mtr>mtd{text-align:left;padding-right:.3em}
math[display=block]>mtable>mtr>mtd:first-child{text-align:right}
mtable mtable mtd{padding:.1em .35em}
.place{color:var(--dim);font-size:.9rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .75rem;margin:.5rem 0;font-size:.95rem}
dd{margin:0;overflow-wrap:anywhere}
.facts{display:flex;flex-wrap:wrap;gap:.3rem;margin:.5rem 0 0;padding:0;list-style:none}
.facts li{background:var(--chip);border-radius:1rem;padding:.05rem .65rem;font-size:.85rem}
.note{font-size:.9rem;margin-top:.5rem}
.key{display:inline-block;width:1rem;height:.75rem;margin-right:.4rem;border:1px solid;vertical-align:-1px}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem}
header p{max-width:110ch}
.key.trained{background:#f7b267;border-color:#b3540a}
.key.computed{background:#fde7cc;border-color:#cf8d4c}
.key.frozen{background:repeating-linear-gradient(135deg,#dfe7f0 0 3px,#a9b8ca 3px 4px);border-color:#6c7f96}
.key.tokens{background:#d8efe3;border-color:#4d8f72}
.key.given{background:#eadff5;border:1px dashed #8560ad}
@media (max-width:40rem){header,main,.bar>div{padding-left:.75rem;padding-right:.75rem}
.bar{position:static}}"""

SCRIPT = """\
const box = document.getElementById("search"), count = document.getElementById("count");
const cards = [...document.querySelectorAll("article")];
function search() {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  for (const card of cards) card.hidden = !words.every(word => card.dataset.text.includes(word));
  for (const one of document.querySelectorAll("section")) one.hidden = !one.querySelector("article:not([hidden])");
  const found = cards.filter(card => !card.hidden).length;
  count.textContent = words.length ? `${found} of ${cards.length}` : "";
  const address = words.length ? `?q=${encodeURIComponent(box.value)}` : location.pathname + location.hash;
  history.replaceState(null, "", address);
}
box.value = new URLSearchParams(location.search).get("q") || "";
box.addEventListener("input", search);
if (box.value) search();"""
