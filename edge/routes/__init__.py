"""The route table: a route for each method that people may call, and for REST paths."""
