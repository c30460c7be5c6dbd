"""A study in other tools' formats, a file a tool."""
