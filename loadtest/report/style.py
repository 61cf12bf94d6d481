"""The style of a page: light and dark by the reader's preference, and fit to be printed."""

from __future__ import annotations

STYLE = """
:root{--ink:#1b2430;--muted:#5b6675;--grid:#e6eaef;--paper:#ffffff;--desk:#f4f6f8;--line:#dde2e8;--accent:#1f6feb;
--quiet:#aab4c0;--goal:#c2410c;--good:#15803d;--bad:#c81e1e;--goodpaper:#e9f7ee;--badpaper:#fdecec;--warnpaper:#fdf3dc;
--c0:#1f6feb;--c1:#e8590c;--c2:#0b9a6d;--c3:#8b3fd9;--c4:#b98900;--c5:#d6336c;--c6:#0c8599;--c7:#6b7684;color-scheme:light}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e8ecf1;--muted:#97a3b3;--grid:#2a323d;--paper:#171c23;
--desk:#0e1217;--line:#2a323d;--accent:#5b9dff;--quiet:#566170;--goal:#ff9a5c;--good:#4ade80;--bad:#ff7b7b;
--goodpaper:#12261a;--badpaper:#2d1618;--warnpaper:#2b2412;
--c0:#6aa8ff;--c1:#ff9657;--c2:#3fd09f;--c3:#c294ff;--c4:#f0c04a;--c5:#ff7fb0;--c6:#4bcbe0;--c7:#9fadbd;color-scheme:dark}}
*{box-sizing:border-box}
body{margin:0;background:var(--desk);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Liberation Sans",sans-serif;font-variant-numeric:tabular-nums}
main,header>div{max-width:1180px;margin:0 auto;padding:0 24px}
header{background:var(--paper);border-bottom:1px solid var(--line);padding:30px 0 26px;margin-bottom:26px}
.brand{display:flex;align-items:center;gap:9px;color:var(--muted);font-size:13px;letter-spacing:.04em}
.brand svg{width:20px;height:22px}
h1{font-size:30px;line-height:1.2;letter-spacing:-.015em;margin:12px 0 4px;overflow-wrap:anywhere}
.when{color:var(--muted);margin:0}
.verdict{display:inline-flex;align-items:center;gap:10px;margin:16px 0 0;padding:8px 16px 8px 12px;border-radius:99px;
font-weight:600}
.verdict::before,.checks li::before{flex:none;display:inline-grid;place-items:center;width:20px;height:20px;
border-radius:50%;color:var(--paper);font-size:12px;font-weight:700}
.good{background:var(--goodpaper);color:var(--good)}.bad{background:var(--badpaper);color:var(--bad)}
.note{background:var(--warnpaper);color:var(--ink);border-radius:10px;padding:8px 14px;margin:14px 0 0}
.good::before{content:"✓";background:var(--good)}.bad::before{content:"✗";background:var(--bad)}
h2{font-size:18px;letter-spacing:-.01em;margin:34px 0 12px}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(210px,1fr));gap:14px}
.tile,.card{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:14px 18px}
.tile b{display:block;font-size:27px;line-height:1.25;font-weight:650;letter-spacing:-.02em}
.tile small{font-size:14px;font-weight:400;color:var(--muted);letter-spacing:0}
.tile span{color:var(--muted);font-size:13px}.tile em{display:block;font-style:normal;font-size:12.5px;
color:var(--muted);line-height:1.4;margin-top:4px}
.tile em.met{color:var(--good)}.tile em.missed{color:var(--bad)}
.tile .met::before{content:"✓ "}.tile .missed::before{content:"✗ "}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr));gap:16px}
.wide{grid-column:1/-1}
figure{margin:0}figure svg{display:block;width:100%;height:auto;font-family:inherit}
figcaption{display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 16px;margin-bottom:8px}
figcaption h3{margin:0;font-size:15px;flex-basis:100%}
figcaption h3 small{font-weight:400;color:var(--muted);font-size:13px}
.key{font-size:12.5px;color:var(--muted);display:inline-flex;align-items:center;gap:6px;overflow-wrap:anywhere}
.key i{flex:none;width:18px;border-top:3px solid}.key b{color:var(--ink);font-weight:600}
.card+.card{margin-top:16px}.plots .card{margin:0}
.checks{list-style:none;margin:0;padding:0}
.checks li{display:grid;grid-template-columns:20px minmax(150px,26%) 1fr;gap:2px 12px;padding:9px 0;
border-top:1px solid var(--line);background:none;color:inherit}
.checks li:first-child{border:0}.checks b{font-weight:600}.checks span{color:var(--muted);overflow-wrap:anywhere}
.checks .bad b{color:var(--bad)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{font-weight:600;color:var(--muted);font-size:12.5px;text-align:left;white-space:nowrap}
td,th{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:baseline}
tr:last-child td{border-bottom:0}td:last-child,th:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}td.words{overflow-wrap:anywhere;color:var(--muted)}
.better{color:var(--good)}.worse{color:var(--bad);font-weight:600}
code,pre{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
pre{white-space:pre-wrap;margin:0}
dl{display:grid;grid-template-columns:minmax(110px,max-content) 1fr;gap:5px 20px;margin:0;font-size:14px}
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
footer{color:var(--muted);font-size:12.5px;margin:30px 0 46px}
@media (max-width:640px){.checks li{grid-template-columns:20px 1fr}.checks span{grid-column:2}}
@media print{@page{margin:14mm}body{background:none;font-size:11pt}header{padding:0 0 12px;border:0}
.tile,.card,tr{break-inside:avoid}.plots{grid-template-columns:1fr 1fr}h2{break-after:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
""".strip()
"""Every colour of a drawing (`loadtest.report.svg.VARIABLES`) is one of its variables."""
