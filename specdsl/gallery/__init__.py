"""Pages that show many specs, a card each: HTML for browsers, Markdown for repositories."""
