"""A study: its folder, its jobs, what it costs, and how a verb runs one."""
