"""Releases tried on datasets: asked, judged, compared, gated; and what others' test suites said of them."""
