"""Each figure of a report in its own file; they take plain data and give a Bokeh figure."""
