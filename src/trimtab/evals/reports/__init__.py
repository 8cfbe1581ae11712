"""Comparisons and gates as people and machines read them: text, Markdown, JUnit's XML, a page with plots."""
