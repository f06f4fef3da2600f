"""How a report looks: on a bright and a dark screen, on a narrow one, and on paper."""

STYLE = """
:root { --ink: #1c1c1c; --soft: #555; --paper: #fff; --line: #d0d0d0; --shade: #f4f4f4;
  --good: #0b6b2f; --bad: #b00020; --open: #7a5200; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --soft: #b0b0b0; --paper: #17181a; --line: #44474c;
  --shade: #222427; --good: #6fd08c; --bad: #ff8a94; --open: #f0c060; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1.2rem 4rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .6rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
nav a { margin-right: .9rem; } a { color: inherit; }
.simulated { display: inline-block; padding: .05em .5em; border-radius: .3em; background: #b00020; color: #fff;
  font-weight: 700; letter-spacing: .04em; }
.notice { border-left: .35rem solid var(--bad); background: var(--shade); padding: .5rem .9rem; }
.soft, caption { color: var(--soft); } caption { text-align: left; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 700; }
.open { color: var(--open); font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line);
  white-space: pre-line; overflow-wrap: normal; }
.pairs th { font-weight: 400; color: var(--soft); white-space: nowrap; } .pairs td { overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure img { width: 100%; height: auto; background: #fff; border: 1px solid var(--line); }
figcaption { color: var(--soft); font-size: .9rem; }
pre { background: var(--shade); padding: .7rem .9rem; font-size: .82rem; line-height: 1.4; white-space: pre-wrap;
  unicode-bidi: plaintext; }
@page { margin: 14mm 12mm; }
@media print { :root { --ink: #000; --soft: #333; --paper: #fff; --line: #999; --shade: #fff; --good: #000; --bad: #000;
  --open: #000; color-scheme: light; } body { max-width: none; padding: 0; font-size: 10pt; } nav { display: none; }
  .simulated { background: #fff; color: #000; border: 2px solid #000; } .wide { overflow: visible; }
  table { font-size: 8pt; } th, td { padding: .1rem .45rem .1rem 0; }
  figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } }
"""
