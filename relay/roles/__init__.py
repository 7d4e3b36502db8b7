"""The composition root: a file for each role, which builds what the role needs and runs it until it is told to stop."""
