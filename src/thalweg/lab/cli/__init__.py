"""The command line of the lab: options in, tables out."""
