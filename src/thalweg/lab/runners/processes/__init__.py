"""Worker processes: one a core, each with one torch thread."""
