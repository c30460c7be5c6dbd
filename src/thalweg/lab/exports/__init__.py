"""A study in other tools' formats, made from its folder, while it runs or long after."""
