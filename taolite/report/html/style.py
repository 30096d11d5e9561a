"""The style sheet of a report: light and dark, a phone and a printer. It has no text from outside, so its hash in the
page's content security policy is the hash of this text and the charts' (`taolite.report.svg.STYLE`)."""

from __future__ import annotations

from taolite.report.svg import STYLE as CHARTS

__all__ = ["STYLE"]

STYLE = (
    CHARTS
    + """
:root{color-scheme:light dark;--page:#fff;--card:#f6f7f9;--link:#0b62b0;--act:#c2410c;--check:#a16207;--note:#0f766e;
--right:#19e39b;--wrong:#ff7a1a;--missed:#ff4fb0}
@media (prefers-color-scheme:dark){:root{--page:#14181d;--card:#1c2229;--link:#7cc0ff;--act:#ff9a5c;--check:#f2c94c;
--note:#5fd0c0}}
@media print{:root{color-scheme:light;--page:#fff;--card:#f6f7f9;--link:#0b62b0;--act:#c2410c;--check:#a16207;
--note:#0f766e}}
*{box-sizing:border-box}
html{background:var(--page);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",Roboto,"Noto Sans",sans-serif;
-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:70rem;padding:1.25rem 1rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .3rem;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.4rem 0 .7rem;padding-top:.9rem;border-top:1px solid var(--hair)}
h3{font-size:1rem;margin:1.4rem 0 .5rem}.card h3,.advice h3,h2+h3{margin-top:0}.card h3{margin-bottom:.4rem}
p{margin:.3rem 0 .7rem}a{color:var(--link)}li,p,h2,h3,dd,.left td{overflow-wrap:anywhere}
.lead{font-size:1.08rem;max-width:52rem}.soft,.empty{color:var(--soft)}.small{font-size:.85rem}
nav{margin:1.1rem 0 0;font-size:.9rem}nav a{margin-right:1rem;white-space:nowrap;display:inline-block}
.tiles{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0 0;padding:0;list-style:none}
.tiles li{background:var(--card);border-radius:.6rem;padding:.55rem .9rem;min-width:7.5rem}
.tiles b{display:block;font-size:1.35rem;line-height:1.2}.tiles span{color:var(--soft);font-size:.82rem}
.advice{padding:0;margin:0;list-style:none;counter-reset:a}
.advice>li{counter-increment:a;background:var(--card);border-left:5px solid var(--l);border-radius:.5rem;
padding:.75rem 1rem;margin:0 0 .7rem;break-inside:avoid}
.advice h3::before{content:counter(a) ". "}
.advice .act{--l:var(--act)}.advice .check{--l:var(--check)}.advice .note{--l:var(--note)}
.advice ul{margin:.2rem 0 .4rem;padding-left:1.15rem}.advice dl{margin:0;display:grid;
grid-template-columns:max-content 1fr;gap:.1rem .8rem}.advice dt{color:var(--soft);font-size:.9rem}
.advice dd{margin:0;min-width:0}.advice dd p{margin:0 0 .25rem}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1.1rem}
.two{grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr))}
.four{grid-template-columns:repeat(auto-fit,minmax(min(100%,15.5rem),1fr))}
.card{background:var(--card);border-radius:.6rem;padding:.8rem .9rem;min-width:0;break-inside:avoid}
.card figure.chart{--page:var(--card)}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.28rem .65rem;text-align:right;border-bottom:1px solid var(--hair);vertical-align:top}
th{font-weight:600;color:var(--soft)}
th:first-child,td:first-child,.left th,.left td{text-align:left}
.matrix th bdi,td:first-child bdi{display:inline-block;max-width:12rem;overflow-wrap:break-word}
td.low{color:var(--act);font-weight:600}
table:not(.left) td{white-space:nowrap}table:not(.left) td bdi{white-space:normal}
.key::before{content:"";display:inline-block;width:.7em;height:.7em;border-radius:50%;background:var(--c);
margin-right:.45em}
.matrix td,.matrix th{text-align:center;border:1px solid var(--hair);min-width:2.6rem}
.matrix th[scope=row]{text-align:right}.matrix td:first-child{text-align:center;min-width:2.6rem}
.hit{background:color-mix(in srgb,#0072b2 var(--p),transparent)}
.miss{background:color-mix(in srgb,#d55e00 var(--p),transparent)}
.p0{--p:0%}.p1{--p:12%}.p2{--p:24%}.p3{--p:36%}.p4{--p:48%}.p5{--p:60%}
pre{background:var(--card);border-radius:.5rem;padding:.6rem .8rem;overflow-x:auto;font-size:.84rem;line-height:1.4;
margin:.4rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
code{font-size:.9em;background:var(--card);padding:.05rem .3rem;border-radius:.3rem;overflow-wrap:anywhere}
.advice pre{background:var(--page)}
figure{margin:0}figcaption{font-size:.84rem;color:var(--soft);margin-top:.25rem;overflow-wrap:anywhere}
.photos{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));gap:1rem}
.photos svg,.plot img{display:block;width:100%;height:auto;border-radius:.4rem}.photos figure{break-inside:avoid}
.photos text{font:600 12px system-ui,sans-serif;paint-order:stroke;stroke:#000b;stroke-width:3px;fill:#fff}
.halo{fill:none;stroke:#0005;stroke-width:3.6}.box{fill:none;stroke-width:2}.right{stroke:var(--right)}
.wrong{stroke:var(--wrong);stroke-width:3}.missed{stroke:var(--missed);stroke-width:2.6;stroke-dasharray:7 4}
.photos text.wrong{stroke:#000b;stroke-width:3px;fill:#ffb27d}.photos text.missed{stroke:#000b;stroke-width:3px;
stroke-dasharray:none;fill:#ff9fd2}
.marks{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;margin:.2rem 0 .8rem;list-style:none;font-size:.9rem}
.marks svg{width:1.5rem;height:1rem;vertical-align:-.15rem;margin-right:.4rem}
.heat{display:block;width:100%;height:auto;border:1px solid var(--hair);border-radius:.3rem}
.heat rect{fill:var(--s1)}.bars text{font:11px system-ui,sans-serif;fill:var(--soft)}.bars{display:block;
width:100%;max-width:26rem;height:auto}
.bars rect,.bars .bar{fill:var(--c)}.bars .ink{fill:var(--ink)}.bars line{stroke:var(--c);stroke-width:2}
details{margin:.5rem 0}summary{cursor:pointer;color:var(--link)}
footer{margin-top:3rem;color:var(--soft);font-size:.84rem;border-top:1px solid var(--hair);padding-top:.8rem}
@media (max-width:34rem){html{font-size:15px}.advice dl{display:block}.tiles li{min-width:calc(50% - .3rem);flex:1}
th,td{padding:.25rem .4rem}h2{margin-top:1.9rem}}
@media print{body{max-width:none;padding:0}nav,summary{display:none}h2{break-after:avoid}a{color:inherit}
.card,.advice>li{border:1px solid var(--hair)}.advice>li{border-left:5px solid var(--l)}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
""".rstrip()
)
"""All rules of the page."""
