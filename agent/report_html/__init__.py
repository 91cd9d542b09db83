"""The report as one HTML file that needs nothing else, and asks nothing of anybody.

`document.py` puts the page together of its sections, each a file named after what it shows. All markup is made by
`markup.py`, where whatever is not markup already is escaped; `charts.py`, `bars.py` and `flames.py` draw SVG.
`page.css` and `page.js` are the page's own: without scripts all is there to read, with them flame graphs can be zoomed.
"""
