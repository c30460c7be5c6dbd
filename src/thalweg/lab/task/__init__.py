"""What is trained: a task, its data, and what identifies it."""
