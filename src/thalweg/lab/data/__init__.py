"""What a user calls data, as batches in an order that a seed fixes, and what identifies it."""
