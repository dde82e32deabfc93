"""The JavaScript runtime `vaedge.js`, and the explorer: one HTML page that runs a bundle in a browser."""
