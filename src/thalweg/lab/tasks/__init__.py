"""The built-in tasks, on data that is on every machine: name -> module with a `task()`."""

BUILT_IN = {"digits": "thalweg.lab.tasks.digits"}
